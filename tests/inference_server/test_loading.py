"""More models than memory: loaded when they are asked for, while callers wait; what does not fit is refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx2
import pytest

from inference_server import room
from inference_server.deployment import Deployment
from inference_server.model import LOADED_TIMES, Model
from inference_server.room import ModelTooLarge
from inference_server.settings import read_settings
from tests import tiny
from tests.inference_server.conftest import TOKEN, png
from tests.inference_server.serving import Running, serving
from tests.inference_server.test_stream import finals, hello, payload
from wire.artifact import Artifact
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub


def bytes_of(artifact: Artifact) -> int:
    return LOADED_TIMES * sum(artifact.path(name).stat().st_size for name in ("encoder.onnx", "decoder.onnx"))


@pytest.fixture
def three(tmp_path: Path) -> list[Artifact]:
    return [tiny.progressive(tmp_path / name) for name in "abc"]


@pytest.fixture
def crowded(three: list[Artifact], tokens: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A server of three models, of which two find room."""
    monkeypatch.setattr(room, "IDLE_S", 0.0)
    most = int(2.5 * bytes_of(three[0]))
    folders = [one.folder for one in three]
    with serving(*folders, models_memory_bytes=most, admin_tokens_file=tokens) as running:
        yield running


def loaded(running: Running) -> str:
    """The last letters of those that are."""
    return "".join(one["name"][-1] for one in httpx2.get(f"{running.url}/v1/models").json() if one["loaded"])


def ask(running: Running, model: str) -> httpx2.Response:
    return httpx2.post(f"{running.url}/v1/predictions?model=tiny-{model}", content=png("red"), timeout=60)


def test_models_are_loaded_when_they_are_asked_for(crowded: Running, three: list[Artifact]) -> None:
    assert loaded(crowded) == "bc", "the last ones"
    for model, then in (("a", "ac"), ("c", "ac"), ("b", "bc"), ("b", "bc"), ("a", "ab")):
        assert ask(crowded, model).json()["classes"][0]["name"] == "red"
        assert loaded(crowded) == then
    requests = [hello(three[2]), *(payload(number, 6, bytes(8)) for number in range(1, 6))]
    with grpc.insecure_channel(crowded.address) as channel:
        assert len(finals(list(RemoteInferenceServiceStub(channel).Stream(iter(requests))))) == 5, "streams wait, too"
    assert loaded(crowded) == "ac"


def test_where_all_are_in_use_the_caller_hears_for_how_long(crowded: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [ask(crowded, model).status_code for model in "bc"] == [200, 200]
    monkeypatch.setattr(room, "IDLE_S", 100.0)
    refused = ask(crowded, "a")
    assert refused.status_code == 429 and "leave no memory" in refused.json()["detail"]
    assert 90 < int(refused.headers["retry-after"]) <= 100 and loaded(crowded) == "bc"
    monkeypatch.setattr(room, "IDLE_S", 0.0)
    assert ask(crowded, "a").status_code == 200


def test_callers_wait_together_while_a_model_is_loaded(
    crowded: Running, monkeypatch: pytest.MonkeyPatch, three: list[Artifact]
) -> None:
    opened, times = Model.open, []

    def slowly(model: Model) -> None:
        times.append(model.manifest.name)
        time.sleep(0.3)
        opened(model)

    monkeypatch.setattr(Model, "open", slowly)
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(ask(crowded, "a").status_code)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 4 and times == ["tiny-a"], "loaded once"


def test_a_model_whose_folder_is_gone_is_a_sentence_for_who_asks(crowded: Running, three: list[Artifact]) -> None:
    away = three[0].folder.with_name("away")
    three[0].folder.rename(away)
    requests = [hello(three[0]), payload(1, 6, bytes(8))]
    with grpc.insecure_channel(crowded.address) as channel:
        said = list(RemoteInferenceServiceStub(channel).Stream(iter(requests)))
    assert "is not an artifact" in next(one.failure.message for one in said if one.HasField("failure"))
    away.rename(three[0].folder)
    assert ask(crowded, "a").status_code == 200


def test_a_model_that_does_not_fit_alone_is_a_sentence_and_the_others_stay(
    three: list[Artifact], tokens: Path, tmp_path: Path
) -> None:
    most = bytes_of(three[0])
    with pytest.raises(ModelTooLarge, match=f"takes {most:,} bytes .* may take {most - 1:,}; set ARTOVEQ_MODELS_MEM"):
        Deployment(read_settings(model=three[0].folder, models_memory_bytes=most - 1))
    heavy = tiny.progressive(tmp_path / "heavy", local=True)
    assert bytes_of(heavy) > most
    with serving(three[0].folder, models_memory_bytes=most, admin_tokens_file=tokens) as running:
        asked = {"json": {"folder": str(heavy.folder)}, "headers": {"Authorization": f"Bearer {TOKEN}"}}
        refused = httpx2.post(f"{running.url}/v1/models", **asked)  # type: ignore[arg-type]
        assert refused.status_code == 422 and refused.json()["type"] == "urn:artoveq:problem:model-too-large"
        assert loaded(running) == "a" and ask(running, "a").status_code == 200
