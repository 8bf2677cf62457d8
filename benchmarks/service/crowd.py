"""Many streams: thousands at once, and thousands one after the other."""

from __future__ import annotations

import asyncio
import itertools
import random
from pathlib import Path
from statistics import mean, median
from typing import Any

import grpc

from artoveq.processes import server_process
from benchmarks.results import Bar
from benchmarks.service.load import CHANNELS, Counts, LoadStream, Payloads, open_streams
from benchmarks.service.measure import resident_mib, settings

LEVEL = 4
ROUND_S, ROUNDS = 5.0, 3
SLOW_S = 20.0
"""A slow edge sends a picture this often."""
LEAST = 0.9
"""Throughput with thousands of streams beside for throughput alone."""
STREAM_PICTURES, AT_ONCE = 20, 64
MOST_GROWTH = 1.03
"""Of the resident memory, last quarter over the second."""


async def fleet(model: Path, idle: int, slow: int) -> tuple[dict[str, Any], list[Bar]]:
    """The throughput of 64 streams before, while and after so many others are there."""
    payloads, counts = Payloads.make(model, LEVEL), Counts()
    payloads.expect(model)
    with settings(decoder_threads=1, caller_streams=idle + slow + 100), server_process(model) as server:
        busy = await open_streams(server.address, payloads, counts, 64)
        await _rate(busy, counts)  # warms up
        before = [await _rate(busy, counts) for _ in range(ROUNDS)]
        memory = resident_mib(server.process.pid)
        others = await open_streams(server.address, payloads, counts, idle + slow)
        a_stream = 1024 * (resident_mib(server.process.pid) - memory) / (idle + slow)
        over = asyncio.Event()
        sending = asyncio.create_task(_slowly(others[:slow], over))
        beside = [await _rate(busy, counts) for _ in range(ROUNDS)]
        over.set()
        await sending
        await asyncio.gather(*(stream.close() for stream in others))
        after = [await _rate(busy, counts) for _ in range(ROUNDS)]
    alone = mean((median(before), median(after)))
    ratio = median(beside) / alone
    figures = {
        "idle_streams": idle,
        "slow_streams": slow,
        "kib_a_stream": round(a_stream, 1),
        "pictures_a_second_alone": round(alone),
        "pictures_a_second_beside_them": round(median(beside)),
        "ratio": round(ratio, 3),
        "answered": counts.answered,
        "failed": counts.failed,
        "wrong": counts.wrong,
    }
    return figures, [Bar("throughput beside them over alone", round(ratio, 3), LEAST, "at least"), *_faultless(counts)]


async def _rate(busy: list[LoadStream], counts: Counts) -> float:
    """Pictures a second, of all streams."""
    loop, before = asyncio.get_running_loop(), counts.answered
    began = loop.time()
    await asyncio.gather(*(stream.saturate(2, ROUND_S) for stream in busy))
    return (counts.answered - before) / (loop.time() - began)


async def _slowly(streams: list[LoadStream], over: asyncio.Event) -> None:
    """A picture of each in turn, evenly over SLOW_S."""
    for stream in itertools.cycle(streams):
        await stream.answered()
        if over.is_set():
            break
        await stream.send(1)
        await asyncio.sleep(SLOW_S / len(streams))
    await asyncio.gather(*(stream.answered() for stream in streams))


async def soak(model: Path, pictures: int, streams: int, seed: int) -> tuple[dict[str, Any], list[Bar]]:
    """Streams that come, send their pictures in pieces, and go: in good order, or by hanging up in the midst."""
    rng, counts, memory, left = random.Random(seed), Counts(), [], []
    each = pictures // streams
    payloads = Payloads.make(model, LEVEL)
    payloads.expect(model)
    with server_process(model) as server:
        channels = [grpc.aio.insecure_channel(server.address) for _ in range(CHANNELS)]
        numbers = iter(range(streams))

        async def come_and_go() -> None:
            for number in numbers:
                stream = await LoadStream(channels[number % CHANNELS], payloads, counts).open()
                sent = 0
                while sent < each:
                    some = min(rng.randint(1, 6), each - sent)
                    await stream.send(some)
                    sent += some
                    if rng.random() < 0.5:
                        await stream.hear()
                if rng.random() < 0.02:
                    left.append(stream.waiting)
                    stream.hang_up()
                    continue
                await stream.answered()
                await stream.close()
                if number % (streams // 40) == 0:
                    memory.append(resident_mib(server.process.pid))

        await asyncio.gather(*(come_and_go() for _ in range(AT_ONCE)))
        for channel in channels:
            await channel.close()
        alive = server.process.poll() is None
    quarter = len(memory) // 4
    second, last = max(memory[quarter : 2 * quarter]), max(memory[-quarter:])
    lost = each * streams - counts.answered - counts.failed - sum(left)
    figures = {
        "streams": streams,
        "pictures": each * streams,
        "answered": counts.answered,
        "hung_up_before_the_answer": sum(left),
        "failed": counts.failed,
        "wrong": counts.wrong,
        "resident_mib": {"second_quarter": round(second, 1), "last_quarter": round(last, 1)},
        "growth": round(last / second, 4),
    }
    bars = [
        Bar("memory, last quarter over the second", round(last / second, 4), MOST_GROWTH, "at most"),
        Bar("pictures lost", lost, 0, "at most"),
        Bar("servers that ended", int(not alive), 0, "at most"),
        *_faultless(counts),
    ]
    return figures, bars


def _faultless(counts: Counts) -> list[Bar]:
    return [
        Bar("pictures that failed", counts.failed, 0, "at most"),
        Bar("wrong answers", counts.wrong, 0, "at most"),
    ]
