"""Registries that break, and such as mean harm: a sentence for each, and what was there stays."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.wire.distribution.registries import Answer, Stored, plain, telling
from wire.artifact import Artifact, load_artifact
from wire.cache import cache_folder
from wire.distribution import pull, registry
from wire.distribution.address import Address
from wire.distribution.pull import pull_into, pulled
from wire.exceptions import ArtifactError, RegistryError, RegistryUnavailable, UsageError
from wire.manifest import DECODER, ENCODER, MANIFEST
from wire.manifest_json import fingerprint_of, sha256


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTOVEQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for module in (registry, pull):
        monkeypatch.setattr(module, "PAUSES_S", (0.01, 0.02))


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return tiny.progressive(tmp_path / "model", coded=True)


def kept() -> list[str]:
    """Models that are whole in the cache."""
    return [path.name for path in (cache_folder() / "oci").glob("[0-9a-f]*")]


def test_what_broke_off_goes_on_where_it_ended(artifact: Artifact) -> None:
    """Each connection gives a quarter of what is left, and hangs up; the last word is the file's digest."""
    stored, begins = Stored.of(artifact), []

    def give(path: str, headers: Mapping[str, str]) -> Answer:
        whole = stored.give(path, headers)
        if "/blobs/" not in path or len(whole.pieces[0]) < 100:
            return whole
        begins.append(headers.get("Range", ""))
        return Answer((whole.pieces[0][: len(whole.pieces[0]) // 4],), whole.status, whole.headers)

    with telling(give) as (host, _):
        folder = pulled(Address(host, "dogs"))
    assert load_artifact(folder).manifest == artifact.manifest and folder.name == stored.digest
    assert sum(begin != "" for begin in begins) > 20


def test_a_try_that_failed_is_the_beginning_of_the_next_one(artifact: Artifact) -> None:
    stored, ends = Stored.of(artifact), True
    decoder = sha256(artifact.path(DECODER).read_bytes())

    def give(path: str, headers: Mapping[str, str]) -> Answer:
        whole = stored.give(path, headers)
        if ends and path.endswith(decoder):
            return Answer((whole.pieces[0][: 100 if "Range" not in headers else 0],), whole.status, whole.headers)
        return whole

    with telling(give) as (host, came):
        with pytest.raises(RegistryUnavailable, match="what has arrived is kept"):
            pulled(Address(host, "dogs"))
        assert not kept()
        came.clear()
        ends = False
        assert load_artifact(pulled(Address(host, "dogs"))).manifest == artifact.manifest
        blobs = [(path.rpartition(":")[2], headers.get("Range")) for path, headers in came if "/blobs/" in path]
        assert blobs == [(decoder, "bytes=100-")]


def test_where_ranges_are_not_known_a_file_begins_anew(artifact: Artifact) -> None:
    stored, asked = Stored.of(artifact), 0

    def give(path: str, headers: Mapping[str, str]) -> Answer:
        nonlocal asked
        whole = stored.give(path, {})
        asked += "/blobs/" in path
        return Answer((whole.pieces[0][:50],), 200, whole.headers) if asked == 2 else whole

    with telling(give) as (host, _):
        assert load_artifact(pulled(Address(host, "dogs"))).manifest == artifact.manifest


def blob_of(change: Callable[[bytes], bytes]) -> Callable[[Stored], Any]:
    """A registry that gives other bytes for the decoder."""

    def registry_of(stored: Stored) -> Any:
        (layer,) = (one for one in json.loads(stored.listed)["layers"] if DECODER in one["annotations"].values())
        decoder = layer["digest"].rpartition(":")[2]

        def give(path: str, headers: Mapping[str, str]) -> Answer:
            return plain(change(stored.blobs[decoder]), {}) if path.endswith(decoder) else stored.give(path, headers)

        return give

    return registry_of


def listing(change: Callable[[dict[str, Any]], None]) -> Callable[[Stored], Any]:
    """A registry that gives another OCI manifest."""

    def registry_of(stored: Stored) -> Any:
        values = json.loads(stored.listed)
        change(values)
        return Stored(json.dumps(values).encode(), stored.blobs).give

    return registry_of


def always(answer: Answer) -> Callable[[Stored], Any]:
    return lambda stored: lambda path, headers: answer


def swap(values: dict[str, Any]) -> None:
    """What is the encoder is called the decoder, and the other way round."""
    layers = {one["annotations"]["org.opencontainers.image.title"]: one for one in values["layers"]}
    layers[ENCODER]["annotations"], layers[DECODER]["annotations"] = (
        layers[DECODER]["annotations"],
        layers[ENCODER]["annotations"],
    )


def rename(name: str) -> Callable[[dict[str, Any]], None]:
    def change(values: dict[str, Any]) -> None:
        values["layers"][-1]["annotations"]["org.opencontainers.image.title"] = name

    return change


def sizes(size: object) -> Callable[[dict[str, Any]], None]:
    return lambda values: values["layers"][2].update(size=size)


FAULTS = {
    "a layer cut short": (blob_of(lambda data: data[:-9]), r"gives [\d,]+ of the [\d,]+ bytes of decoder.onnx"),
    "a layer too long": (blob_of(lambda data: data + b"x"), "gives more of decoder.onnx than"),
    "other bytes": (blob_of(lambda data: data[:-1] + b"?"), "gives other bytes for decoder.onnx"),
    "layers that change their names": (listing(swap), "is not the file that its model has"),
    "a file that is no part of it": (listing(rename("run.sh")), "is not the file that its model has"),
    "a file elsewhere": (listing(rename("../../etc/passwd")), "does not hold the files of a model"),
    "a file twice": (listing(rename(ENCODER)), "does not hold the files of a model, each one once"),
    "no manifest": (listing(lambda values: values["layers"].pop(0)), "does not hold the files of a model"),
    "an image": (listing(lambda values: values["config"].update(mediaType="x")), "is no model of artoveq"),
    "a size of no number": (listing(sizes("1")), "no list of files that makes sense"),
    "a size below 0": (listing(sizes(-1)), "no list of files that makes sense"),
    "a tebibyte": (listing(sizes(1 << 40)), r"1,099,511,627,776 bytes, and 2,147,483,647 are taken at most"),
    "more than the cache": (listing(sizes(1 << 30)), "set ARTOVEQ_CACHE_BYTES, now 1,073,741,824, to more"),
    "no JSON": (always(Answer((b"<html>",), 200, {"Content-Length": "6"})), "no list of files that makes sense"),
    "JSON of another kind": (always(Answer((b"[1]",), 200, {"Content-Length": "3"})), "no list of files that makes"),
    "deep JSON": (always(plain(b"[" * 100_000, {})), "no list of files that makes sense"),
    "a list without end": (always(Answer((bytes(1 << 16),) * 40)), "does not answer as a registry does"),
    "a name that is not there": (always(Answer((), 404)), "`artoveq push` brings a model there"),
    "a user who is wanted": (
        always(Answer((), 401, {"Www-Authenticate": 'Basic realm="x"'})),
        r"wants a user who may do that with dogs; say `docker login 127.0.0.1:\d+`",
    ),
    "a user who is wanted, without more": (always(Answer((), 401)), "asks for a password without TLS; it gets none"),
    "one who may not": (always(Answer((), 403)), "wants a user who may do that"),
    "one that is busy": (always(Answer((), 503)), r"cannot answer now \(503\); try again later"),
    "another fault": (
        always(plain(b'{"errors":[{"code":"TAG_INVALID"},{"code":"<b>"}]}', {})),
        "no list of files|refuses",
    ),
    "a way in a circle": (always(Answer((), 302, {"Location": "/"})), "does not answer as a registry does"),
    "a way out of TLS's reach": (always(Answer((), 302, {"Location": "ftp://x/"})), "does not answer as a registry"),
    "one that hangs up": (always(Answer((), 200, {"Content-Length": "9"})), "No registry answers at .* or it hangs up"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_a_sentence_and_the_model_that_was_there_stays(
    artifact: Artifact, tmp_path: Path, fault: str
) -> None:
    registry_of, sentence = FAULTS[fault]
    folder = tmp_path / "dogs"
    old = tiny.nested(folder)
    expected = pytest.raises((ArtifactError, RegistryError), match=sentence)
    with telling(registry_of(Stored.of(artifact))) as (host, _), expected:
        pull_into(Address(host, "dogs"), folder)
    assert load_artifact(folder).manifest == old.manifest and not kept()


def test_a_graph_that_is_not_to_be_trusted_is_not_kept(artifact: Artifact) -> None:
    """Its digests are right all the way: the pusher means harm."""
    values = json.loads(artifact.path(MANIFEST).read_bytes())
    values["files"][ENCODER] = sha256(b"no graph")
    artifact.path(ENCODER).write_bytes(b"no graph")
    artifact.path(MANIFEST).write_text(json.dumps({**values, "fingerprint": fingerprint_of(values)}))
    refused = pytest.raises(ArtifactError, match=f"{ENCODER} of the model {artifact.manifest.name} is not")
    with telling(Stored.of(artifact).give) as (host, _), refused:
        pulled(Address(host, "dogs"))
    assert not kept()


def test_a_digest_is_what_is_taken_whatever_the_tag_is_now(artifact: Artifact, tmp_path: Path) -> None:
    old, new = Stored.of(artifact), Stored.of(tiny.nested(tmp_path / "other"))
    with telling(new.give) as (host, _):
        with pytest.raises(RegistryError, match="gives something else for oci://"):
            pulled(Address(host, "dogs", digest=old.digest))
        assert pulled(Address(host, "dogs", "v2")).name == new.digest
    assert kept() == [new.digest]


def test_who_cannot_be_reached_had_this_model_last(artifact: Artifact, caplog: pytest.LogCaptureFixture) -> None:
    stored = Stored.of(artifact)
    with telling(stored.give) as (host, _):
        folder = pulled(Address(host, "dogs"))
    assert pulled(Address(host, "dogs")) == folder and "had last is taken" in caplog.text
    assert pulled(Address(host, "dogs", digest=stored.digest)) == folder  # nobody is asked
    with pytest.raises(RegistryUnavailable, match="No registry answers"):
        pulled(Address(host, "dogs", "v2"))


def test_a_copy_that_was_damaged_is_fetched_anew(artifact: Artifact) -> None:
    with telling(Stored.of(artifact).give) as (host, _):
        folder = pulled(Address(host, "dogs"))
        (folder / ENCODER).write_bytes(b"damaged")
        assert load_artifact(pulled(Address(host, "dogs"))).manifest == artifact.manifest


@pytest.mark.parametrize("piece", [b"x", b""])
def test_who_trickles_or_is_silent_has_a_deadline(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch, piece: bytes
) -> None:
    monkeypatch.setattr(pull, "PULL_S", 0.4)
    stored = Stored.of(artifact)

    def give(path: str, headers: Mapping[str, str]) -> Answer:
        if "/manifests/" in path:
            return stored.give(path, headers)
        return Answer((piece,) * 100, 200, {"Content-Length": "100000"}, pause_s=0.05)

    began = time.monotonic()
    with telling(give) as (host, _), pytest.raises(RegistryUnavailable, match="takes too long; try again"):
        pulled(Address(host, "dogs"))
    assert time.monotonic() - began < 2


def test_a_password_goes_to_its_registry_alone_and_into_no_sentence(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where blobs lie elsewhere the other host does not get it; what a registry echoes is not shown."""
    stored, secret = Stored.of(artifact), "ZmFybTpzM2NyZXQ="
    with telling(stored.give) as (elsewhere, there):

        def give(path: str, headers: Mapping[str, str]) -> Answer:
            if headers.get("Authorization") != f"Basic {secret}":
                return Answer((), 401, {"Www-Authenticate": 'Basic realm="farm"', "Content-Length": "0"})
            if "/manifests/broken" in path:
                return Answer((json.dumps({"errors": [{"code": "NO", "message": secret}]}).encode(),), 400)
            if "/blobs/" in path:
                return Answer((), 307, {"Location": f"http://localhost:{elsewhere.rpartition(':')[2]}{path}"})
            return stored.give(path, headers)

        with telling(give) as (host, _):
            (tmp_path / ".docker").mkdir()
            (tmp_path / ".docker" / "config.json").write_text(json.dumps({"auths": {host: {"auth": secret}}}))
            assert pulled(Address(host, "dogs")).name == stored.digest
            assert there and not any("Authorization" in headers for _, headers in there)
            with pytest.raises(RegistryError, match=r"refuses that \(400, NO\)") as refused:
                pulled(Address(host, "dogs", "broken"))
            assert secret not in str(refused.value)
            (tmp_path / ".docker" / "config.json").write_text('{"auths": 3}')
            with pytest.raises(RegistryError, match="cannot be read; say `docker login"):
                pulled(Address(host, "dogs", "other"))


def test_a_folder_of_something_else_is_left(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("letters")
    with pytest.raises(UsageError, match="name another folder"):
        pull_into(Address("127.0.0.1:9", "dogs"), tmp_path)
