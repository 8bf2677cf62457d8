import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.service.measure import disk_of
from tests.conftest import MODEL
from wire.artifact import load_artifact, write_artifact
from wire.exceptions import ArtifactError
from wire.manifest import DECODER, ENCODER, MANIFEST, TABLES, TORCH_DECODER
from wire.manifest_json import fingerprint_of, sha256


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MODEL, tmp_path / "model"))


def edit_manifest(folder: Path, **changes: object) -> None:
    values = {**json.loads((folder / MANIFEST).read_text()), **changes}
    values["fingerprint"] = fingerprint_of(values)
    (folder / MANIFEST).write_text(json.dumps(values))


def test_the_shipped_artifact_is_whole() -> None:
    manifest = load_artifact(MODEL).manifest
    expected = {ENCODER, DECODER, TORCH_DECODER, TABLES}
    assert set(manifest.files) == expected == {p.name for p in MODEL.iterdir()} - {MANIFEST}
    assert len(manifest.planes) == 64 and list(manifest.levels) == list(range(1, 9))
    for level, number in manifest.levels.items():
        point = manifest.point(number)
        assert point.coded_bytes and 0.8 * 64 * level < point.coded_bytes < 64 * level == point.payload_bytes


def test_no_file_of_it_runs_code_when_loaded() -> None:
    import pickletools
    import zipfile

    with zipfile.ZipFile(MODEL / TORCH_DECODER) as archive:
        for name in archive.namelist():
            data = archive.read(name)
            if name.endswith((".pkl", ".pt")) and data:
                pytest.fail(f"{name} is a pickle: {pickletools.dis(data)}")


def test_a_changed_byte_is_noticed(copy: Path) -> None:
    data = bytearray((copy / DECODER).read_bytes())
    data[1000] ^= 1
    (copy / DECODER).write_bytes(data)
    with pytest.raises(ArtifactError, match=r"decoder.onnx of the model .* is damaged"):
        load_artifact(copy)
    load_artifact(copy, edge=True)


def test_a_missing_file_is_named(copy: Path) -> None:
    (copy / ENCODER).unlink()
    with pytest.raises(ArtifactError, match=r"encoder\.onnx cannot be read \(No such file"):
        load_artifact(copy)


def test_a_decoder_for_a_runtime_that_is_not_used_may_be_missing(copy: Path) -> None:
    (copy / TORCH_DECODER).unlink()
    artifact = load_artifact(copy)
    assert artifact.has(DECODER) and not artifact.has(TORCH_DECODER)
    (copy / TORCH_DECODER).symlink_to("nowhere")
    with pytest.raises(ArtifactError, match=r"decoder\.pt2 cannot be read"):
        load_artifact(copy)


def test_a_folder_without_manifest(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"is not an artifact: manifest\.json"):
        load_artifact(tmp_path)


def test_a_newer_format_version(copy: Path) -> None:
    edit_manifest(copy, format_version=3)
    with pytest.raises(ArtifactError, match=r"format version 3.*install a newer artoveq"):
        load_artifact(copy)


def test_a_changed_manifest(copy: Path) -> None:
    text = (copy / MANIFEST).read_text().replace('"beagle"', '"poodle"')
    (copy / MANIFEST).write_text(text)
    with pytest.raises(ArtifactError, match="was changed after it was made"):
        load_artifact(copy)


def test_on_a_full_disk_the_old_artifact_stays_whole(copy: Path) -> None:
    values = json.loads((copy / MANIFEST).read_text())
    for key in ("format_version", "files", "fingerprint"):
        del values[key]
    files = {ENCODER: (copy / ENCODER).read_bytes()}
    with disk_of(100_000), pytest.raises(ArtifactError, match=r"could not be written .*free some space"):
        write_artifact(copy, values, files)
    load_artifact(copy)
    assert [p.name for p in copy.parent.iterdir()] == ["model"]
    write_artifact(copy, values, files)
    assert load_artifact(copy).manifest.files.keys() == {ENCODER}
    assert [p.name for p in copy.parent.iterdir()] == ["model"]


def linked(target: str | Path) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


NOT_FILES: list[tuple[Callable[[Path], None], str]] = [
    (linked("/etc/passwd"), "lies outside the artifact, at /etc/passwd"),
    (linked("/dev/zero"), "lies outside the artifact, at /dev/zero"),
    (linked("../secret"), "lies outside the artifact"),
    (lambda path: path.symlink_to(path.name), "cannot be read"),
    (linked(MANIFEST + "/x"), "cannot be read"),
    (os.mkfifo, "is not a plain file"),
    (os.mkdir, "cannot be read"),
]


@pytest.mark.parametrize("make,said", NOT_FILES)
@pytest.mark.parametrize("name", [ENCODER, MANIFEST])
def test_what_is_not_a_file_of_the_folder_is_not_read(
    copy: Path, name: str, make: Callable[[Path], None], said: str
) -> None:
    (copy.parent / "secret").write_bytes((copy / name).read_bytes())
    (copy / name).unlink()
    make(copy / name)
    with pytest.raises(ArtifactError, match=rf"{name}.* {said}"):
        load_artifact(copy, edge=True)


def test_links_within_the_folder_are_followed(copy: Path) -> None:
    (copy / ENCODER).rename(copy / "blob")
    (copy / ENCODER).symlink_to("blob")
    link = copy.parent / "link"
    link.symlink_to(copy)
    load_artifact(link)


def test_a_file_that_is_too_large_is_not_read(copy: Path) -> None:
    for name in (MANIFEST, TABLES):
        with (copy / name).open("r+b") as file:
            file.truncate(1 << 40)  # sparse
        with pytest.raises(ArtifactError, match=rf"{name} has more bytes than the [\d,]+ that it may have"):
            load_artifact(copy, edge=True)
        shutil.copy(MODEL / name, copy)


def test_a_graph_that_is_not_to_be_opened_is_refused_although_its_hash_is_right(copy: Path) -> None:
    data = b"no graph"
    (copy / ENCODER).write_bytes(data)
    edit_manifest(copy, files={**load_artifact(MODEL).manifest.files, ENCODER: sha256(data)})
    with pytest.raises(ArtifactError, match=r"encoder\.onnx of the model .* is not run: it is not an ONNX graph"):
        load_artifact(copy, edge=True)
