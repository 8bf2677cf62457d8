import asyncio
import threading

import numpy as np
import pytest

from inference_server.batcher import Answer, Batcher
from wire.exceptions import ArtoveqError, ServerError, ServerOverloaded


class HeldDecoder:
    """Answers each picture with its first index, once it is let go; remembers its batches."""

    device = "test"

    def __init__(self) -> None:
        self.go = threading.Event()
        self.batches: list[list[int]] = []

    def decode(self, indices: np.ndarray, levels: np.ndarray) -> np.ndarray:
        self.go.wait(5)
        self.batches.append([int(level) for level in levels])
        if (indices == 255).any():
            raise ValueError("a bad batch")
        return indices[:, :1].astype(np.float32)


def one(value: int) -> np.ndarray:
    return np.full(4, value, np.uint8)


def batcher(decoder: HeldDecoder, queue: int = 100) -> Batcher:
    made = Batcher(decoder, pictures=4, window=0.0, queue=queue)
    made.start()
    return made


def test_each_picture_gets_its_own_answer() -> None:
    async def run() -> None:
        decoder = HeldDecoder()
        decoder.go.set()
        batch = batcher(decoder)
        answers = await asyncio.gather(*(batch.predict("a", 1, one(i)) for i in range(50)))
        assert [a.probabilities[0] for a in answers] == list(range(50))
        assert max(map(len, decoder.batches)) == 4
        await batch.stop()

    asyncio.run(run())


def test_newer_planes_replace_a_waiting_request() -> None:
    async def run() -> None:
        decoder = HeldDecoder()
        batch = batcher(decoder)
        got: list[Answer | ArtoveqError] = []
        batch.submit("a", "busy", 1, one(0), got.append)
        await asyncio.sleep(0.05)
        for level in (1, 2, 3):
            batch.submit("a", "picture", level, one(level), got.append)
        decoder.go.set()
        await batch.stop()
        assert decoder.batches == [[1], [3]]
        assert [a.level for a in got if isinstance(a, Answer)] == [1, 3]

    asyncio.run(run())


def test_a_full_queue_refuses_and_a_withdrawn_picture_makes_room() -> None:
    async def run() -> None:
        decoder = HeldDecoder()
        batch = batcher(decoder, queue=2)
        for key in ("a", "b"):
            batch.submit("x", key, 1, one(1), lambda _: None)
        with pytest.raises(ServerOverloaded, match="2 pictures are waiting"):
            batch.submit("x", "c", 1, one(1), lambda _: None)
        batch.withdraw("x", "a")
        batch.submit("x", "c", 1, one(1), lambda _: None)
        decoder.go.set()
        await batch.stop()
        assert sum(map(len, decoder.batches)) == 2

    asyncio.run(run())


def test_a_fault_of_one_batch_does_not_end_the_service() -> None:
    async def run() -> None:
        decoder = HeldDecoder()
        decoder.go.set()
        batch = batcher(decoder)
        with pytest.raises(ServerError, match="a bad batch"):
            await batch.predict("a", 1, one(255))
        assert (await batch.predict("a", 1, one(3))).probabilities[0] == 3
        await batch.stop()

    asyncio.run(run())


def test_one_owner_with_many_pictures_does_not_keep_another_waiting() -> None:
    async def run() -> None:
        decoder = HeldDecoder()
        batch = batcher(decoder)
        answered: list[str] = []
        batch.submit("busy", 0, 1, one(0), lambda _: None)
        await asyncio.sleep(0.05)
        for i in range(10):
            batch.submit("greedy", i, 1, one(0), lambda _: answered.append("greedy"))
        for i in range(3):
            batch.submit("modest", i, 1, one(0), lambda _: answered.append("modest"))
        assert batch.waiting == 13
        decoder.go.set()
        await batch.stop()
        assert answered[:6].count("modest") == 3
        assert answered.count("greedy") == 10
        assert batch.waiting == 0

    asyncio.run(run())


def test_a_refusal_says_how_long_the_queue_takes() -> None:
    async def run() -> None:
        decoder = HeldDecoder()
        batch = batcher(decoder, queue=3)
        first = asyncio.create_task(batch.predict("a", 1, one(1)))
        await asyncio.sleep(0.2)
        decoder.go.set()
        await first
        decoder.go.clear()
        for i in range(4):
            batch.submit("a", i, 1, one(1), lambda _: None)
            await asyncio.sleep(0.02)
        with pytest.raises(ServerOverloaded) as full:
            batch.submit("a", "more", 1, one(1), lambda _: None)
        assert 0.01 < full.value.retry_after < 1
        decoder.go.set()
        await batch.stop()

    asyncio.run(run())
