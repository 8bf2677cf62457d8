"""Pictures a second through gRPC at saturation, decoded in int8 beside fp32: two servers, in turn."""

from __future__ import annotations

import contextlib
from pathlib import Path
from statistics import median
from typing import Any

from artoveq.processes import server_process
from benchmarks.results import Bar
from benchmarks.service import throughput
from benchmarks.service.load import Counts, Payloads, open_streams
from benchmarks.service.measure import settings
from inference_server.decoder import has_vnni
from wire.artifact import load_artifact
from wire.exceptions import UsageError
from wire.manifest import INT8_DECODER

LEAST = 1.4
"""Pictures a second in int8 for each one in fp32, where the processor has VNNI."""


async def precisions(model: Path, streams: int, batch: int) -> tuple[dict[str, Any], list[Bar]]:
    """Rounds of both in turn; each decoder has one thread.

    Raises:
        UsageError: if the model has no decoder in int8.
    """
    if not load_artifact(model).has(INT8_DECODER):
        raise UsageError(f"{model} has no decoder in int8; make one with `artoveq int8`.")
    payloads, counts = Payloads.make(model, throughput.LEVEL), Counts()
    rounds = []
    with contextlib.ExitStack() as stack:
        loads = []
        for precision in ("fp32", "int8"):
            with settings(decoder_threads=1, batch_pictures=batch, precision=precision):
                server = stack.enter_context(server_process(model))
            loads.append(await open_streams(server.address, payloads, counts, streams))
        for _ in range(throughput.ROUNDS + 1):
            rounds.append([await throughput.saturated(load, counts, throughput.ROUND_S) for load in loads])
    rounds = rounds[1:]  # the first one warms up
    ratio = round(median(other / one for one, other in rounds), 3)
    figures = {
        "model": model.name,
        "streams": streams,
        "level": throughput.LEVEL,
        "batch": batch,
        "vnni": has_vnni(),
        "fp32_pictures_a_second": round(median(one for one, _ in rounds)),
        "int8_pictures_a_second": round(median(other for _, other in rounds)),
        "rounds": [round(other / one, 3) for one, other in rounds],
        "failed": counts.failed,
    }
    bars = [Bar("pictures that failed", counts.failed, 0, "at most")]
    return figures, [Bar("int8 over fp32", ratio, LEAST, "at least"), *bars] if has_vnni() else bars
