"""What an artifact delivers, measured through the parts that ship: encoder.onnx, packed bytes, the server's decoder."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from artoveq.processes import server_process
from edge_client import AsyncClient, Encoder
from edge_client.codec import POINTS, write_webp
from inference_server.decoder import OnnxDecoder, Probabilities
from inference_server.encoder import PictureEncoder
from inference_server.received import Received
from training.data import Split, hold_out
from training.export import export_files, manifest_values, unquantised_top1
from training.model import RateModel
from training.recipe import Recipe
from training.scores import fit_temperature, perplexity, scores
from wire.artifact import TABLES, Artifact, write_artifact
from wire.bitplanes import Indices
from wire.entropy import count_tables, write_planes
from wire.exceptions import DataError
from wire.pictures import MAX_PIXELS, Picture

BATCH = 64
IN_FLIGHT = 32
SAMPLE = 1024
"""Pictures whose codewords are counted."""
TABLE_PICTURES = 2048
WORTH_CODING = 0.03
"""Entropy coding is left out of an artifact that it makes less than this much smaller."""
console = Console(stderr=True)


def evaluate(artifact: Artifact, split: Split) -> list[dict[str, Any]]:
    """Per level, over all pictures of the split, in this process: the mean of `payload_bytes`, the scores
    (top1, top5, nll, ece), `packed_bytes` (without entropy coding) and the codewords' `perplexity`.

    Raises:
        DataError: if the data set has other classes than the artifact.
    """
    check_classes(artifact, split)
    manifest = artifact.manifest
    encoder, decoder = Encoder(artifact), OnnxDecoder(artifact)
    levels = manifest.level_numbers
    answers: dict[int, list[Probabilities]] = {level: [] for level in levels}
    sent: dict[int, list[int]] = {level: [] for level in levels}
    sample: dict[int, list[Indices]] = {level: [] for level in levels}
    for pictures in _batches(encoder, split, len(split)):
        for level in levels:
            encoded = encoder.encode_batch(pictures, level)
            payloads = [write_planes(encoder.coder, one, level, 1, level) for one in encoded]
            arrived = np.stack([_arrived(encoder, payload, level) for payload in payloads])
            answers[level].append(decoder.decode(arrived, np.full(len(arrived), level, np.int64)))
            sent[level] += [len(payload) for payload in payloads]
            if len(sample[level]) * BATCH < SAMPLE:
                sample[level].append(encoded)
    rows = []
    for level in levels:
        used = np.concatenate(sample[level]).reshape(-1, manifest.channel_groups)
        rows.append(
            {
                "level": level,
                "payload_bytes": round(float(np.mean(sent[level])), 3),
                **scores(np.concatenate(answers[level]), split.labels).model_dump(),
                "packed_bytes": level * manifest.plane_bytes,
                "perplexity": perplexity(used, level),
            }
        )
    return rows


def _batches(encoder: Encoder, split: Split, count: int) -> Iterator[Picture]:
    starts = range(0, count, BATCH)
    for start in track(starts, description="encoding", console=console, transient=True):
        rows = range(start, min(start + BATCH, count))
        yield np.stack([encoder.fit(split.picture(i)) for i in rows])


def _arrived(encoder: Encoder, payload: bytes, level: int) -> Indices:
    begun = Received(level, encoder.manifest.sub_vectors)
    return begun.add(payload, level if encoder.coder else 0, encoder.coder).indices


def answered(artifact: Artifact, split: Split) -> dict[int, Probabilities]:
    """Per level, the answers (N, classes) for all pictures of the split, in this process."""
    encoder, decoder = Encoder(artifact), OnnxDecoder(artifact)
    found: dict[int, list[Probabilities]] = {level: [] for level in artifact.manifest.level_numbers}
    for pictures in _batches(encoder, split, len(split)):
        for level, rows in found.items():
            indices = encoder.encode_batch(pictures, level)
            rows.append(decoder.decode(indices, np.full(len(indices), level, np.int64)))
    return {level: np.concatenate(rows) for level, rows in found.items()}


def temperatures(artifact: Artifact, train: Split) -> dict[int, float]:
    """Per level, fitted on the training pictures that this artifact was not trained on; its own must be 1."""
    recipe = artifact.manifest.recipe
    held = hold_out(train, recipe["hold_out_every"], recipe["seed"])[1]
    if not len(held):
        return dict.fromkeys(artifact.manifest.level_numbers, 1.0)
    return {level: fit_temperature(rows, held.labels) for level, rows in answered(artifact, held).items()}


def codec_figures(artifact: Artifact, split: Split) -> list[dict[str, Any]]:
    """Per point of `edge_client.codec`: side, quality, mean payload_bytes and top1, with both halves here."""
    encoder, decoder, manifest = Encoder(artifact), OnnxDecoder(artifact), artifact.manifest
    server = PictureEncoder(artifact, threads=0, max_pixels=MAX_PIXELS)
    level, rows = manifest.max_level, []
    fitted = np.concatenate(list(_batches(encoder, split, len(split))))
    for share, quality in track(POINTS, description="WebP", console=console, transient=True):
        side, right, sent = round(share * manifest.preprocessing.size), 0, 0
        for start in range(0, len(split), BATCH):
            files = [write_webp(picture, side, quality) for picture in fitted[start : start + BATCH]]
            indices = np.stack([server.encode(file, level) for file in files])
            answers = decoder.decode(indices, np.full(len(files), level, np.int64))
            right += int((answers.argmax(1) == split.labels[start : start + BATCH]).sum())
            sent += sum(map(len, files))
        figures = {"payload_bytes": round(sent / len(split), 1), "top1": round(right / len(split), 6)}
        rows.append({"side": side, "quality": quality, **figures})
    return rows


def entropy_tables(artifact: Artifact, train: Split) -> bytes:
    """The file `wire.entropy` reads, counted on training pictures evenly drawn from `train`."""
    encoder, manifest = Encoder(artifact), artifact.manifest
    rows = np.random.default_rng(0).permutation(len(train))[:TABLE_PICTURES]
    levels = (manifest.max_level,) if manifest.prefix_consistent else range(1, manifest.max_level + 1)
    found: dict[int, list[Indices]] = {level: [] for level in levels}
    for pictures in _batches(encoder, train.subset(rows), len(rows)):
        for level in levels:
            if level in manifest.level_numbers:
                found[level].append(encoder.encode_batch(pictures, level))
    nothing = np.zeros((0, manifest.sub_vectors), np.uint8)
    counted = {level: np.concatenate(parts) if parts else nothing for level, parts in found.items()}
    return count_tables(counted, manifest.channel_groups).astype("<u2").tobytes()


def evaluate_through_server(artifact: Artifact, split: Split) -> list[dict[str, Any]]:
    """`level`, mean `payload_bytes` and `top1` of every picture streamed at every level to a real server."""
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


def write_evaluated(
    model: RateModel, recipe: Recipe, minutes: float, train: Split, test: Split, folder: Path
) -> Artifact:
    """Exports a trained model, measures it on `test`, and writes the artifact with its figures.

    Its planes are entropy-coded, with tables from `train`, where that saves enough.
    """
    values = manifest_values(model, recipe, minutes, test.classes)
    values["unquantised_top1"] = round(unquantised_top1(model, test), 6)
    return write_measured(values, export_files(model), train, test, folder)


def write_measured(
    values: Mapping[str, Any], files: Mapping[str, bytes], train: Split, test: Split, folder: Path
) -> Artifact:
    """Writes the artifact of exported files, entropy tables where they save enough, and measured figures.

    values: as of `manifest_values`, with every temperature 1.
    """
    with tempfile.TemporaryDirectory() as scratch:
        # The figures are measured on a whole artifact, whose own figures are not known yet.
        packed = write_artifact(Path(scratch) / "packed", values, files)
        coded_files = {**files, TABLES: entropy_tables(packed, train)}
        coded = write_artifact(Path(scratch) / "coded", values, coded_files)
        warmth = temperatures(coded, train)
        rows = evaluate(coded, test)
        values = {**values, "codec": codec_figures(coded, test)}
        saved = 1 - sum(row["payload_bytes"] for row in rows) / sum(row["packed_bytes"] for row in rows)
        console.print(f"entropy coding saves {saved:.1%} of the bytes")
        if saved < WORTH_CODING:
            rows = [{**row, "payload_bytes": float(row["packed_bytes"])} for row in rows]
        else:
            files = coded_files
    kept = ("level", "payload_bytes", "top1")
    levels = [{**{key: row[key] for key in kept}, "temperature": warmth[row["level"]]} for row in rows]
    return write_artifact(folder, {**values, "levels": levels}, files)
