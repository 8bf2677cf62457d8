"""Answers by confidence: the edge's own where it is sure, else run after run of planes until one is.

All of it is what ships: encoder.onnx, coded runs, the server's decoder, temperatures fitted on held-out training
pictures, and the runs that `edge_client.rate.Cascade` sends where there is time for every one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from artoveq.evaluation import IN_FLIGHT, check_classes, console, decoded, fitted
from artoveq.processes import server_process
from benchmarks.results import Bar
from edge_client import AsyncClient, Encoder, Progressive
from edge_client.control import RateControl
from edge_client.rate import Link, LinkEstimator
from edge_client.rate.adaptive import following, most_for_its_bits
from edge_client.stream import StreamLedger
from edge_client.transport.grpc import OVERHEAD_BYTES
from inference_server.decoder import OnnxDecoder
from training.data import Split
from training.scores import scores
from wire.artifact import Artifact
from wire.exceptions import UsageError
from wire.local_head import local_head_of
from wire.manifest import Manifest
from wire.payload import PayloadCodec

WITH, WITHOUT, FIXED, SERVED = "with point 0", "without point 0", "fixed points", "with point 0, through a server"
SHOWN = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99)
"""Thresholds in the table."""
THRESHOLDS = np.arange(0.4, 1.0, 0.01)
"""Among which the bars' are looked for."""
BARS = {52: 0.805, 97: 0.825}
"""Share of right answers by mean coded bytes."""
SUREST = 0.3
BUDGET_S = 30.0
"""Time for every run."""

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Stages:
    """What becomes of each of N pictures at each of T stages, the edge's own answer the first of them (N, T).

    raw, coded: bytes that were sent until then.
    """

    sure: Floats
    right: Flags
    raw: Floats
    coded: Floats

    def without_first(self) -> Stages:
        """Without the edge's own answer."""
        return Stages(self.sure[:, 1:], self.right[:, 1:], self.raw[:, 1:], self.coded[:, 1:])

    def stopped(self, least: float) -> dict[str, Any]:
        """Means where each picture stops at the first answer that is so sure, else at the last."""
        passed = self.sure >= least
        at = np.where(passed.any(1), passed.argmax(1), passed.shape[1] - 1)
        rows = np.arange(len(at))
        return {
            "min_confidence": round(float(least), 2),
            "raw_bytes": round(float(self.raw[rows, at].mean()), 1),
            "coded_bytes": round(float(self.coded[rows, at].mean()), 1),
            "accuracy": round(float(self.right[rows, at].mean()), 4),
            "nothing_sent": round(float((self.raw[rows, at] == 0).mean()), 4),
        }


def cascade(artifact: Artifact, test: Split, *, through_server: bool = False) -> tuple[dict[str, Any], list[Bar]]:
    """Bytes and accuracy by threshold, with and without point 0, beside points that are fixed.

    Raises:
        UsageError: if the model is not refinable.
        PointError: if it has no local head.
        DataError: if the data set has other classes than the artifact.
    """
    manifest = artifact.manifest
    if not manifest.refinable:
        raise UsageError(f"{manifest.name} is not refinable: it has no runs to send; name a progressive artifact.")
    local_head_of(manifest)
    check_classes(artifact, test)
    found, own = measured_stages(artifact, test)
    rows = [{"chain": WITH, **found.stopped(least)} for least in SHOWN]
    rows += [{"chain": WITHOUT, **found.without_first().stopped(least)} for least in SHOWN]
    rows += [{"chain": FIXED, **row} for row in fixed(manifest)]
    best = {limit: best_within(found, limit) for limit in BARS}
    bars = [
        Bar(f"right at {limit} coded bytes ({row['coded_bytes']:g})", row["accuracy"], BARS[limit], "at least")
        for limit, row in best.items()
    ]
    if through_server:
        for limit, row in best.items():
            served = {"chain": SERVED, **stream(artifact, test, row["min_confidence"])}
            rows.append(served)
            bars.append(Bar(f"through a server, right at {limit} bytes", served["accuracy"], BARS[limit], "at least"))
            bars.append(Bar(f"through a server, bytes for {BARS[limit]}", served["coded_bytes"], limit, "at most"))
    figures = {"model": manifest.name, "pictures": len(test), "runs_end_at_planes": runs(manifest), "rows": rows, **own}
    return figures, bars


def runs(manifest: Manifest, codec: PayloadCodec | None = None) -> list[int]:
    """Up to which plane each run goes that a cascade sends on a fast link."""
    control = RateControl(codec or PayloadCodec(manifest), 0.0)
    ledger = StreamLedger("", OVERHEAD_BYTES, 0)
    ledger.reads_coded = True
    points, link = control.chain(control.points(ledger), None), Link(LinkEstimator(1e9), 0.0)
    planes = [int(points.planes[most_for_its_bits(points.bits, points.metric)])]
    while planes[-1] < points.planes[-1]:
        planes.append(following(points, planes[-1], link)[0])
    return planes


def measured_stages(artifact: Artifact, test: Split) -> tuple[Stages, dict[str, Any]]:
    """All stages of all pictures, in this process; and what the edge's own answers alone are worth."""
    encoder, decoder, manifest = Encoder(artifact), OnnxDecoder(artifact), artifact.manifest
    codec, ends = encoder.codec, runs(artifact.manifest, encoder.codec)
    probabilities: list[list[NDArray[np.float32]]] = [[] for _ in range(1 + len(ends))]
    raw = np.cumsum([0, *(sum(p.payload_bytes for p in manifest.planes[a:b]) for a, b in _pairs(ends))])
    coded: list[list[int]] = []
    for pictures in fitted(encoder, test):
        indices, own = encoder.answer_batch(pictures)
        probabilities[0].append(own)
        for stage, end in enumerate(ends, 1):
            point = manifest.chain[end - 1]
            probabilities[stage].append(decoded(decoder, codec, codec.at_point(indices, point), point))
        coded += [[0, *(len(codec.write_run(one, a + 1, b - a)[0]) for a, b in _pairs(ends))] for one in indices]
    answers = np.stack([np.concatenate(parts) for parts in probabilities], 1)
    stages = Stages(
        answers.max(2).astype(np.float64),
        answers.argmax(2) == test.labels[:, None],
        np.broadcast_to(raw.astype(np.float64), answers.shape[:2]),
        np.cumsum(coded, 1).astype(np.float64),
    )
    surest = stages.sure[:, 0].argsort()[-round(SUREST * len(test)) :]
    alone = {
        "point_0": scores(answers[:, 0], test.labels).model_dump(),
        "right_of_the_surest_30_percent": round(float(stages.right[surest, 0].mean()), 4),
    }
    return stages, alone


def _pairs(ends: Sequence[int]) -> list[tuple[int, int]]:
    """From which plane to which each run goes."""
    return list(zip([0, *ends[:-1]], ends, strict=True))


def best_within(found: Stages, coded_bytes: float) -> dict[str, Any]:
    """Of the thresholds that take no more bytes on average the one with most right answers."""
    rows = [found.stopped(least) for least in THRESHOLDS]
    return max((row for row in rows if row["coded_bytes"] <= coded_bytes), key=lambda row: float(row["accuracy"]))


def fixed(manifest: Manifest) -> list[Mapping[str, Any]]:
    """Whole levels, and nothing."""
    rows: list[Mapping[str, Any]] = []
    for number in manifest.levels.values():
        point = manifest.point(number)
        row = {"raw_bytes": point.payload_bytes, "coded_bytes": round(point.mean_bytes, 1)}
        rows.append({"min_confidence": "–", **row, "accuracy": round(point.metric, 4), "nothing_sent": 0.0})
    return rows


def stream(artifact: Artifact, test: Split, least: float) -> dict[str, Any]:
    """The same by a client and a server, which have time for every run."""
    with server_process(artifact.folder) as server:
        return asyncio.run(_streamed(server.address, artifact, test, least))


async def _streamed(address: str, artifact: Artifact, test: Split, least: float) -> dict[str, Any]:
    slots, manifest = asyncio.Semaphore(IN_FLIGHT), artifact.manifest
    sent, right = np.zeros((2, len(test))), np.zeros(len(test), bool)
    async with AsyncClient(address, Encoder(artifact, threads=1)) as client:

        async def one(i: int) -> None:
            async with slots:
                picture = client.encoder.fit(await asyncio.to_thread(test.picture, i))
                result = await client.predict(picture, Progressive(min_confidence=least), budget=BUDGET_S)
                point = result.answers[-1].point
                sent[:, i] = result.payload_bytes, manifest.point(point).payload_bytes if point else 0
                right[i] = result.best.index == test.labels[i]

        asked = [asyncio.create_task(one(i)) for i in range(len(test))]
        for each in track(asked, description="streaming", console=console, transient=True):
            await each
    return {
        "min_confidence": round(float(least), 2),
        "raw_bytes": round(float(sent[1].mean()), 1),
        "coded_bytes": round(float(sent[0].mean()), 1),
        "accuracy": round(float(right.mean()), 4),
        "nothing_sent": round(float((sent[0] == 0).mean()), 4),
    }
