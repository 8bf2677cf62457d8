"""What crosses between a server's processes, and what they remember together: without any process."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import deque
from multiprocessing.connection import Listener
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference_server.rollout import VersionInUse
from inference_server.workers import remote_decoder
from inference_server.workers.batches import (
    FAULT,
    OUTPUT,
    Job,
    batch_frame,
    output_frame,
    read_batch,
    read_output,
    together,
)
from inference_server.workers.kept_answers import KeptAnswers
from inference_server.workers.line import Line, LineCut
from inference_server.workers.remote_decoder import RemoteDecoder
from wire.artifact import Artifact
from wire.exceptions import ServerError


@pytest.mark.parametrize("shape", [(1,), (3, 10), (2, 3, 8, 8)])
def test_batches_and_outputs_cross_as_they_are(shape: tuple[int, ...]) -> None:
    indices = np.arange(24, dtype=np.int32).reshape(3, 8)
    found, points, questions = read_batch(batch_frame(indices, np.array([1, 7, 300])))
    assert np.array_equal(found, indices) and points.tolist() == [1, 7, 300] and questions.shape == (3, 0)
    asked = np.arange(6, dtype=np.int32).reshape(3, 2)
    assert np.array_equal(read_batch(batch_frame(indices, points, asked))[2], asked)
    assert (found.dtype, points.dtype) == (np.int32, np.int64)
    output = np.random.default_rng(0).random(shape, np.float32)
    assert np.array_equal(read_output(output_frame(output)), output)


def test_the_oldest_batch_takes_along_others_of_its_model_that_fit() -> None:
    def job(model: str, pictures: int) -> Job:
        return Job(
            model, np.zeros((pictures, 4), np.int32), np.ones(pictures, np.int64), np.zeros((pictures, 0), np.int32)
        )

    waiting = deque([job("a", 20), job("b", 4), job("a", 16), job("a", 12), job("a", 1)])
    expected = list(waiting)
    assert together(waiting, 32) == [expected[0], expected[3]]
    assert together(waiting, 32) == [expected[1]]
    assert together(waiting, 16) == [expected[2]]
    large = deque([job("a", 40), job("a", 1)])
    assert len(together(large, 32)) == 1 and len(large) == 1


def test_answers_are_kept_for_a_time() -> None:
    kept = KeptAnswers(3)
    assert kept.claim("me", "one", "making", 10, now=0) is None
    assert kept.claim("me", "one", "other", 10, now=9) == "making"
    assert kept.claim("another", "one", "other", 10, now=9) is None
    assert kept.claim("me", "one", "other", 10, now=10) is None
    kept.release("me", "one", "making")
    assert kept.claim("me", "one", "third", 10, now=11) == "other"
    kept.put("me", "one", "made", 100, now=12)
    kept.release("me", "one", "other")
    assert kept.claim("me", "one", "fourth", 10, now=13) == "made"
    kept.release("me", "one", "made")
    assert kept.claim("me", "one", "fifth", 10, now=13) is None


def test_what_one_caller_has_kept_is_pushed_out_by_no_other() -> None:
    kept = KeptAnswers(8)
    for key in "abc":
        kept.put("modest", key, "made", 100, now=0)
    for number in range(1000):
        assert kept.claim("flood", str(number), "making", 10, now=1) is None
        kept.put("flood", str(number), "made", 100, now=1)
    assert [kept.claim("modest", key, "again", 10, now=2) for key in "abc"] == ["made"] * 3
    assert [kept.claim("flood", str(number), "again", 10, now=2) for number in range(995, 1000)] == ["made"] * 5
    kept.put("flood", "large", "ff" * 4096, 100, now=3)  # as large as all of its share
    assert [kept.claim("modest", key, "again", 10, now=4) for key in "abc"] == ["made"] * 3
    assert kept.claim("flood", "999", "again", 10, now=4) is None


def test_each_end_of_a_line_asks_the_other_and_errors_come_back_as_they_were() -> None:
    async def run() -> None:
        async def double(number: int) -> int:
            return 2 * number

        async def refuse() -> None:
            raise VersionInUse("It is in use.")

        async def never() -> None:
            await asyncio.sleep(60)

        one, other = socket.socketpair()
        verbs: dict[str, Any] = {"double": double, "refuse": refuse, "never": never}
        lines = Line(verbs), Line(verbs)
        running = [asyncio.create_task(line.run(end)) for line, end in zip(lines, (one, other), strict=True)]
        assert await asyncio.gather(*(line.ask("double", number=21) for line in lines)) == [42, 42]
        with pytest.raises(VersionInUse, match=r"It is in use\."):
            await lines[0].ask("refuse")
        waiting = asyncio.create_task(lines[0].ask("never"))
        await asyncio.sleep(0.01)
        running[1].cancel()
        with pytest.raises(LineCut, match="started anew"):
            await waiting
        with pytest.raises(LineCut):
            await lines[0].ask("double", number=1)
        await asyncio.gather(*running, return_exceptions=True)

    asyncio.run(run())


def test_a_batch_is_sent_again_to_a_decoder_that_was_started_anew(
    progressive: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_decoder, "AWAY_S", 2.0)
    address = tmp_path / "decoder"
    about = OUTPUT + b'{"device": "test", "caller_pictures": 7}'
    output = np.ones((1, 3), np.float32)

    def decoder(*answers: bytes) -> threading.Thread:
        address.unlink(missing_ok=True)
        listener = Listener(str(address), "AF_UNIX")

        def serve() -> None:
            with listener, listener.accept() as connection:
                for answer in answers:
                    connection.recv_bytes()
                    connection.send_bytes(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        return thread

    batch = np.zeros((1, 4), np.int32), np.ones((1, 1), np.int32), np.ones(1, np.int64)
    first = decoder(about)
    remote = RemoteDecoder(address, progressive)
    assert (remote.device, remote.caller_pictures) == ("test", 7)
    first.join()
    second = decoder(about, output_frame(output), FAULT + b"It burnt.")
    assert np.array_equal(remote.decode(*batch), output)
    with pytest.raises(ServerError, match=r"It burnt\."):
        remote.decode(*batch)
    second.join()
    monkeypatch.setattr(remote_decoder, "AWAY_S", 0.1)
    with pytest.raises(ServerError, match="does not answer"):
        remote.decode(*batch)
