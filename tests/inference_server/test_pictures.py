"""Picture files on a server: what is made to hurt it is refused with a sentence, and others have their answers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx2
import pytest
from PIL import Image

from inference_server.memory import MemoryBudget
from inference_server.model import Model
from inference_server.settings import read_settings
from tests.inference_server.conftest import png
from tests.inference_server.serving import Running, serving
from tests.wire.hostile_pictures import encoded, noise, repeated_scan, webp_header
from wire.artifact import Artifact
from wire.exceptions import ServerOverloaded, SettingsError
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub
from wire.pictures import MAX_PIXELS, memory_bytes

HOSTILE = {
    "pixels": (webp_header(7000, 7000), "7000×7000 pixels are more than the limit of 12,582,912"),
    "scans": (repeated_scan(64, 100), "more than 32 scans"),
    "avif": (encoded(noise(), "AVIF")[:200], "is not a picture in a format that is read"),
    "dds": (encoded(noise(), "DDS")[:130], "is not a picture in a format that is read"),
    "eps": (encoded(noise(), "EPS"), "is not a picture in a format that is read"),
    "truncated": (encoded(noise(), "WebP")[:500], "is damaged or cut short"),
    "nothing": (b"", "is not a picture in a format that is read"),
}


def until(condition: Callable[[], bool]) -> None:
    """Waits for another thread."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.mark.parametrize("kind", HOSTILE)
def test_rest_and_grpc_say_the_same(http: httpx2.Client, stub: RemoteInferenceServiceStub, kind: str) -> None:
    file, said = HOSTILE[kind]
    answer = http.post("/v1/predictions", content=file)
    assert answer.status_code == 422 and said in answer.json()["detail"]
    with pytest.raises(grpc.RpcError, match=said) as refused:
        stub.PredictPicture(iter([pb.PredictPictureRequest(picture=file)]))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_stream_of_them_is_never_full(progressive: Artifact) -> None:
    """Each ends with a failure, so that more of them can come than a stream may have unfinished."""
    files = [file for file, _ in HOSTILE.values()] * 3 + [png("red")]
    failed: list[int] = []

    def requests() -> Iterator[pb.StreamRequest]:
        yield pb.StreamRequest(hello=pb.Hello(fingerprint=progressive.manifest.fingerprint))
        for number, file in enumerate(files, 1):
            until(lambda number=number: len(failed) == number - 1)  # type: ignore[misc]
            yield pb.StreamRequest(file=pb.PictureFile(picture_id=number, file=file))
        answered.wait(10)

    answered = threading.Event()
    with (
        serving(progressive.folder, stream_pictures=2, encoding_pictures=1) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        for response in RemoteInferenceServiceStub(channel).Stream(requests()):
            if response.HasField("failure"):
                failed.append(response.failure.picture_id)
            if response.HasField("answer"):
                assert response.answer.picture_id == len(files) and response.answer.final
                answered.set()
    assert answered.is_set() and failed == list(range(1, len(files)))


def test_large_pictures_are_read_one_after_the_other_where_memory_says_so(progressive: Artifact) -> None:
    file = encoded(Image.new("L", (500, 500)), "PNG")
    limits = {"max_pixels": 250_000, "max_upload_bytes": len(file)}
    room = memory_bytes(250_000, len(file))
    with serving(progressive.folder, picture_memory_bytes=room, **limits) as server, ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda _: predicted(server, file), range(8)))
    assert answers == [200] * 8


def predicted(server: Running, file: bytes) -> int:
    return httpx2.post(f"{server.url}/v1/predictions", content=file, timeout=60).status_code


def test_memory_is_had_in_the_order_in_which_it_is_asked_for() -> None:
    budget, had, release = MemoryBudget(10), [], threading.Event()

    def hold(amount: int) -> None:
        with budget.hold(amount):
            had.append(amount)
            release.wait(10)

    with ThreadPoolExecutor(4) as holders:
        with budget.hold(4):
            for waiting, amount in enumerate((7, 3, 5, 1), 1):  # 3 would have room, and waits behind 7
                holders.submit(hold, amount)
                until(lambda waiting=waiting: len(budget._waiting) == waiting)  # type: ignore[misc]
            assert had == []
        until(lambda: had == [7, 3] and len(budget._waiting) == 2)
        release.set()
    assert had == [7, 3, 5, 1]


def test_a_caller_who_leaves_gives_no_room_back_before_the_work_ends(progressive: Artifact) -> None:
    settings = read_settings(model=progressive.folder, encoding_pictures=1)
    memory = MemoryBudget(settings.picture_memory_bytes)
    model = Model(progressive.folder, settings, memory)

    async def plan() -> None:
        with memory.hold(settings.picture_memory_bytes):  # so that the picture is not read yet
            first = asyncio.create_task(model.encode("edge", png("red"), 1))
            await asyncio.to_thread(until, lambda: bool(memory._waiting))
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            with pytest.raises(ServerOverloaded, match="1 picture files are being read already"):
                await model.encode("edge", png("red"), 1)
        await asyncio.to_thread(until, lambda: not model._encodings._of)
        assert len(await model.encode("edge", png("red"), 1)) == progressive.manifest.sub_vectors
        await model.stop()

    asyncio.run(plan())


def test_one_picture_must_have_room() -> None:
    assert read_settings(model="a").max_pixels == MAX_PIXELS
    with pytest.raises(SettingsError, match="To read a picture of 50,000,000 pixels and 16,777,216 bytes takes 1,4"):
        read_settings(model="a", max_pixels=50_000_000)
    assert read_settings(model="a", max_pixels=50_000_000, picture_memory_bytes=1_500_000_000)
