"""What an artifact delivers, measured through the parts that ship: encoder.onnx, packed bytes, the server's decoder."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from artoveq.processes import server_process
from edge_client import AsyncClient, Encoder
from inference_server.decoder import OnnxDecoder
from training.data import Split
from training.export import export_files, manifest_values, unquantised_top1
from training.model import RateModel
from training.recipe import Recipe
from wire.artifact import Artifact, write_artifact
from wire.bitplanes import pack_planes, unpack_planes
from wire.exceptions import DataError

BATCH = 64
IN_FLIGHT = 32
console = Console(stderr=True)


def evaluate(artifact: Artifact, split: Split) -> list[dict[str, Any]]:
    """Per level: level, mean payload_bytes and top1 over all pictures of the split, in this process.

    Raises:
        DataError: if the data set has other classes than the artifact.
    """
    check_classes(artifact, split)
    encoder, decoder = Encoder(artifact), OnnxDecoder(artifact)
    levels = artifact.manifest.level_numbers
    right, sent = dict.fromkeys(levels, 0), dict.fromkeys(levels, 0)
    m = artifact.manifest.sub_vectors
    for start in track(range(0, len(split), BATCH), description="evaluating", console=console, transient=True):
        rows = range(start, min(start + BATCH, len(split)))
        pictures = np.stack([encoder.fit(split.picture(i)) for i in rows])
        for level in levels:
            payloads = [pack_planes(one, level) for one in encoder.encode_batch(pictures, level)]
            indices = np.stack([unpack_planes(planes, m) for planes in payloads])
            answers = decoder.decode(indices, np.full(len(indices), level, np.int64)).argmax(1)
            right[level] += int((answers == split.labels[start : start + BATCH]).sum())
            sent[level] += sum(len(plane) for planes in payloads for plane in planes)
    return _rows(right, sent, len(split))


def evaluate_through_server(artifact: Artifact, split: Split) -> list[dict[str, Any]]:
    """As `evaluate`, but every picture is streamed at every level to a real server."""
    check_classes(artifact, split)
    with server_process(artifact.folder) as server:
        return asyncio.run(_stream(server.address, artifact, split))


async def _stream(address: str, artifact: Artifact, split: Split) -> list[dict[str, Any]]:
    levels = artifact.manifest.level_numbers
    right, sent = dict.fromkeys(levels, 0), dict.fromkeys(levels, 0)
    slots = asyncio.Semaphore(IN_FLIGHT)
    async with AsyncClient(address, str(artifact.folder)) as client:
        encoder = client.encoder
        assert encoder is not None

        async def one(i: int) -> None:
            async with slots:
                picture = encoder.fit(await asyncio.to_thread(split.picture, i))
                for level in levels:
                    result = await client.predict(picture, level=level)
                    right[level] += result.best.index == split.labels[i]
                    sent[level] += result.payload_bytes

        tasks = [asyncio.create_task(one(i)) for i in range(len(split))]
        for task in track(tasks, description="streaming", console=console, transient=True):
            await task
    return _rows(right, sent, len(split))


def check_classes(artifact: Artifact, split: Split) -> None:
    """Raises DataError if the data set has other classes than the artifact."""
    if split.classes != artifact.manifest.classes:
        odd = sorted(set(split.classes) ^ set(artifact.manifest.classes))[:3]
        raise DataError(
            f"The data set's {len(split.classes)} classes are not the {len(artifact.manifest.classes)} that "
            f"{artifact.manifest.name} was trained on (for example {', '.join(odd) or 'their order'}); train again, "
            "or use the data set that it was trained on."
        )


def _rows(right: dict[int, int], sent: dict[int, int], count: int) -> list[dict[str, Any]]:
    return [
        {"level": level, "payload_bytes": round(sent[level] / count, 3), "top1": round(right[level] / count, 6)}
        for level in right
    ]


def write_evaluated(model: RateModel, recipe: Recipe, minutes: float, split: Split, folder: Path) -> Artifact:
    """Exports a trained model, measures it on `split`, and writes the artifact with its figures."""
    files = export_files(model)
    values = manifest_values(model, recipe, minutes, split.classes)
    values["unquantised_top1"] = round(unquantised_top1(model, split), 6)
    with tempfile.TemporaryDirectory() as scratch:
        # The figures are measured on a whole artifact, whose own figures are not known yet.
        unmeasured = write_artifact(Path(scratch) / "model", values, files)
        values["levels"] = evaluate(unmeasured, split)
    return write_artifact(folder, values, files)
