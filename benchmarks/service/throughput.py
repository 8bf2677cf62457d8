"""Pictures a second through gRPC at saturation, beside the bare decoder; and how long they queue at half of it."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from artoveq.processes import server_process
from benchmarks.results import Bar
from benchmarks.service.load import Counts, LoadStream, Payloads, open_streams
from benchmarks.service.measure import settings

LEVEL = 4
WARM_S, ROUND_S, ROUNDS = 2.0, 4.0, 6
HALF_LOAD_S = 15.0
LEAST = 0.85
"""Pictures a second through the server for each one of the bare decoder."""


async def throughput(
    model: Path, streams: int, batch: int, windows_ms: tuple[float, ...]
) -> tuple[dict[str, Any], list[Bar]]:
    """Rounds of both in turn. The decoder has one thread, in the server as alone: the rest of the machine serves."""
    payloads = Payloads.make(model, LEVEL)
    with settings(decoder_threads=1, batch_pictures=batch), server_process(model) as server, _bare(model) as bare:
        counts = Counts()
        load = await open_streams(server.address, payloads, counts, streams)
        alone, served = [], []
        for round_number in range(ROUNDS + 1):
            one = await asyncio.to_thread(bare, batch, ROUND_S)
            other = await saturated(load, counts, ROUND_S)
            if round_number:  # the first one warms up
                alone.append(one)
                served.append(other)
        failed = counts.failed
    ratio = median(b / a for a, b in zip(alone, served, strict=True))
    half = median(served) / 2
    queueing = [await _half_load(model, payloads, streams, batch, window, half) for window in windows_ms]
    figures = {
        "model": model.name,
        "streams": streams,
        "level": LEVEL,
        "batch": batch,
        "bare_pictures_a_second": round(median(alone)),
        "served_pictures_a_second": round(median(served)),
        "rounds": [round(b / a, 3) for a, b in zip(alone, served, strict=True)],
        "ratio": round(ratio, 3),
        "failed": failed,
        "queueing_at_half_load": queueing,
    }
    bars = [
        Bar("served over bare decoder", round(ratio, 3), LEAST, "at least"),
        Bar("pictures that failed", failed, 0, "at most"),
    ]
    return figures, bars


async def saturated(load: list[LoadStream], counts: Counts, seconds: float) -> float:
    """Pictures a second with two in flight on each stream."""
    busy = [asyncio.create_task(stream.saturate(2, WARM_S + seconds)) for stream in load]
    await asyncio.sleep(WARM_S)
    began, before = time.perf_counter(), counts.answered
    await asyncio.sleep(seconds)
    rate = (counts.answered - before) / (time.perf_counter() - began)
    await asyncio.gather(*busy)
    return rate


async def _half_load(
    model: Path, payloads: Payloads, streams: int, batch: int, window: float, rate: float
) -> dict[str, Any]:
    """Pictures come one by one, at random (Poisson), on random streams."""
    with settings(decoder_threads=1, batch_pictures=batch, batch_window_ms=window), server_process(model) as server:
        counts, rng = Counts(), np.random.default_rng(0)
        load = await open_streams(server.address, payloads, counts, streams)
        due = began = time.perf_counter()
        hearing = [asyncio.create_task(stream.answers(began + HALF_LOAD_S)) for stream in load]
        while (due := due + rng.exponential(1 / rate)) < began + HALF_LOAD_S:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await load[rng.integers(streams)].send(1)
        await asyncio.gather(*hearing)
    queued = np.array(counts.queue_ms)
    return {
        "window_ms": window,
        "pictures_a_second": round(len(queued) / HALF_LOAD_S),
        **{f"p{share}_ms": round(float(np.percentile(queued, share)), 2) for share in (50, 95, 99)},
    }


@contextlib.contextmanager
def _bare(model: Path) -> Iterator[Any]:
    """The decoder alone, in a process of its own with the server's settings: rate(batch, seconds)."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_decode_on_demand, args=(model, theirs), daemon=True)
    process.start()

    def rate(batch: int, seconds: float) -> float:
        ours.send((batch, seconds))
        return float(ours.recv())

    try:
        yield rate
    finally:
        process.terminate()
        process.join()


def _decode_on_demand(model: Path, pipe: Connection) -> None:
    from inference_server.decoder import open_decoder
    from wire.artifact import load_artifact

    artifact = load_artifact(model)
    decoder = open_decoder(artifact, 1, os.environ.get("ARTOVEQ_DECODER", "auto"))
    rng = np.random.default_rng(0)
    while True:
        batch, seconds = pipe.recv()
        indices = rng.integers(0, 1 << LEVEL, (batch, artifact.manifest.sub_vectors), dtype=np.int32)
        sizes = np.full((batch, len(artifact.manifest.segments)), 1 << LEVEL, np.int32)
        points = np.full(batch, artifact.manifest.point_of_level(LEVEL))
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            decoder.decode(indices, sizes, points)
            count += batch
        pipe.send(count / (time.perf_counter() - began))
