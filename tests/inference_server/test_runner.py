"""The decoder's thread and the event loop: who gets which answer, and what a fault does."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from inference_server.answers import Decoded
from inference_server.runner import DecoderRunner
from inference_server.scheduler import Scheduler
from inference_server.unread import Unread
from tests.wire.manifests import manifest_of
from wire.exceptions import ArtoveqError, ProtocolError, ServerError, ServerOverloaded

MANIFEST = manifest_of((2, 2), [(2, 2), (4, 2), (4, 4)], positions=1)
BAD = 255


class HeldDecoder:
    """Answers each picture with its first index, once it is let go; remembers its batches."""

    device = "test"

    def __init__(self, go: bool = True) -> None:
        self.go, self.busy = threading.Event(), threading.Event()
        self.batches: list[list[int]] = []
        self.sizes: list[list[int]] = []
        if go:
            self.go.set()

    def decode(
        self, indices: np.ndarray, sizes: np.ndarray, points: np.ndarray, questions: np.ndarray | None = None
    ) -> np.ndarray:
        self.busy.set()
        assert self.go.wait(10)
        self.batches.append(points.tolist())
        self.sizes += sizes.tolist()
        if (indices == BAD).any():
            raise ValueError("a bad batch")
        return indices[:, :1].astype(np.float32)


def one(value: int) -> np.ndarray:
    return np.full(4, value, np.int32)


def running(decoder: HeldDecoder, window: float = 0.0, queue: int = 100) -> DecoderRunner:
    scheduler = Scheduler(batch_pictures=4, caller_pictures=4, window=window, queue_pictures=queue)
    return DecoderRunner(MANIFEST, decoder, scheduler)


@pytest.mark.parametrize("window", [0.0, 0.001])
def test_each_picture_gets_its_own_answer(window: float) -> None:
    async def run() -> None:
        decoder = HeldDecoder()
        runner = running(decoder, window)
        answers = await asyncio.gather(*(runner.decode("a", 1 + i % 3, one(i)) for i in range(50)))
        assert [a.output[0] for a in answers] == list(range(50))
        assert [a.point for a in answers] == [1 + i % 3 for i in range(50)]
        assert max(map(len, decoder.batches)) == 4
        assert decoder.sizes[:3] == [[2, 2], [4, 2], [4, 4]]
        assert all(a.queue >= 0 and a.decode >= 0 for a in answers)
        await runner.stop()

    asyncio.run(run())


def test_what_comes_while_the_decoder_is_busy_goes_into_its_next_batch() -> None:
    async def run() -> None:
        decoder = HeldDecoder(go=False)
        runner = running(decoder)
        got: list[Decoded | ArtoveqError] = []
        runner.submit("a", None, "busy", 1, one(0), got.append)
        assert await asyncio.to_thread(decoder.busy.wait, 10)
        for point in (1, 2, 3):
            runner.submit("a", None, "picture", point, one(point), got.append)
        runner.submit("b", None, "gone", 2, one(2), got.append)
        runner.withdraw("b", None, "gone")
        assert runner.waiting == 1
        decoder.go.set()
        await runner.stop()
        assert decoder.batches == [[1], [3]]
        assert [a.point for a in got if isinstance(a, Decoded)] == [1, 3]

    asyncio.run(run())


def test_a_fault_of_one_batch_does_not_end_the_service() -> None:
    async def run() -> None:
        runner = running(HeldDecoder())
        with pytest.raises(ServerError, match="a bad batch"):
            await runner.decode("a", 1, one(BAD))
        assert (await runner.decode("a", 1, one(3))).output[0] == 3
        await runner.stop()

    asyncio.run(run())


class StubCodec:
    """A block says its picture's first index; those of an odd length are none."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.threads: set[int] = set()

    def read_blocks(self, blocks: list[tuple[bytes, bool]], point: int) -> list[np.ndarray | ProtocolError]:
        self.batches.append(len(blocks))
        self.threads.add(threading.get_ident())
        return [ProtocolError("It is odd.") if len(data) % 2 else one(data[0]) for data, _ in blocks]


def test_payloads_of_a_batch_are_read_together_off_the_loop_and_a_bad_one_fails_alone() -> None:
    async def run() -> None:
        codec, decoder = StubCodec(), HeldDecoder(go=False)
        runner = running(decoder)
        busy = asyncio.ensure_future(runner.decode("a", 1, one(9)))
        assert await asyncio.to_thread(decoder.busy.wait, 10)
        blocks = [b"\5.", b"\6", b"\7."]
        waiting = [runner.decode("a", 2, Unread(codec, block, True, 2)) for block in blocks]  # type: ignore[arg-type]
        outcomes = asyncio.gather(*waiting, runner.decode("a", 3, one(8)), return_exceptions=True)
        await asyncio.sleep(0)
        decoder.go.set()
        first, bad, last, plain = await outcomes
        assert (await busy).output[0] == 9 and [a.output[0] for a in (first, last, plain)] == [5, 7, 8]
        assert isinstance(bad, ProtocolError) and str(bad) == "It is odd."
        assert codec.batches == [3] and codec.threads.isdisjoint({threading.get_ident()})
        assert decoder.batches == [[1], [2, 2, 3]]
        with pytest.raises(ProtocolError):
            await runner.decode("a", 2, Unread(codec, b"odd", True, 2))  # type: ignore[arg-type]
        assert len(decoder.batches) == 2  # nothing was left to decode
        await runner.stop()

    asyncio.run(run())


def test_one_answer_that_cannot_be_handed_out_leaves_the_others() -> None:
    async def run() -> None:
        runner = running(HeldDecoder())
        got: list[Decoded | ArtoveqError] = []

        def broken(_: Decoded | ArtoveqError) -> None:
            raise ValueError("nobody is there")

        runner.submit("a", None, 1, 1, one(1), broken)
        runner.submit("b", None, 1, 1, one(2), got.append)
        await runner.stop()
        assert [a.output[0] for a in got if isinstance(a, Decoded)] == [2]

    asyncio.run(run())


def test_a_picture_that_gives_way_in_a_full_queue_is_refused() -> None:
    async def run() -> None:
        decoder = HeldDecoder(go=False)
        runner = running(decoder, queue=2)
        busy = asyncio.ensure_future(runner.decode("a", 1, one(1)))
        assert await asyncio.to_thread(decoder.busy.wait, 10)
        many = [asyncio.ensure_future(runner.decode("a", 1, one(value))) for value in (2, 3)]
        await asyncio.sleep(0)
        modest = asyncio.ensure_future(runner.decode("b", 1, one(4)))
        with pytest.raises(ServerOverloaded, match="2 pictures are waiting"):
            await many[1]
        decoder.go.set()
        assert [(await each).output[0] for each in (busy, many[0], modest)] == [1, 2, 4]
        await runner.stop()

    asyncio.run(run())


def test_a_caller_that_goes_away_leaves_nothing_waiting() -> None:
    async def run() -> None:
        decoder = HeldDecoder(go=False)
        runner = running(decoder)
        busy = asyncio.ensure_future(runner.decode("a", 1, one(1)))
        assert await asyncio.to_thread(decoder.busy.wait, 10)
        gone = asyncio.ensure_future(runner.decode("b", 1, one(2)))
        await asyncio.sleep(0)
        assert runner.waiting == 1
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert runner.waiting == 0
        decoder.go.set()
        assert (await busy).output[0] == 1
        await runner.stop()

    asyncio.run(run())
