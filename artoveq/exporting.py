"""From exported files to an artifact with its figures: chain, entropy tables, temperatures, every point measured."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from artoveq.evaluation import (
    BATCH,
    codec_figures,
    entropy_tables,
    evaluate,
    fitted,
    folded_tables,
    largest_counts,
    local_figures,
    measured,
    parts,
    temperatures,
)
from edge_client import Encoder
from inference_server.decoder import OnnxDecoder
from training.adapt import Sizes, adapted, check_adaptable, regrouped
from training.chain import greedy_chain, with_chain
from training.convert import convert_files
from training.data import Split, hold_out
from training.export import export_files, fitted_batches, folded_codewords, manifest_values, unquantised_metric
from training.int8 import int8_decoder
from training.interpolation import HEAVY, between, heavy_to_be_measured
from training.local_head import with_local_head
from training.losses import segment_distortion
from training.recipe import LocalHeadRecipe, Recipe
from training.stages import trained_model
from training.tasks import TASKS
from wire.artifact import Artifact, read_file, values_of, write_artifact
from wire.exceptions import UsageError
from wire.manifest import DECODER, ENCODER, INT8_DECODER, TABLES, Manifest

CHAIN_PICTURES, CHAIN_TEMPERATURE = 650, 1.3
"""Training pictures that the order of the planes, or the sizes of segments, are chosen on; and how soft the answers
are that are compared."""
UNMEASURED = {"metric": 0.0, "temperature": 1.0}
"""A local head's figures before there are any."""
WORTH_CODING = 0.03
"""Entropy coding is left out of an artifact that it makes less than this much smaller."""
CALIBRATION_PICTURES = 200
"""Training pictures that an int8 decoder is calibrated on: all their activations are in memory at once."""
console = Console(stderr=True)


def export_measured(recipe: Recipe, runs: Path, train: Split, test: Split, folder: Path) -> Artifact:
    """Exports what was trained in `runs`, measures it on `test`, and writes the artifact with its figures."""
    model, minutes = trained_model(recipe, len(train.classes), runs, train.questions)
    if model.codebook.any_size:  # its segments' sizes are chosen anew, for what it became in training
        few = train.subset(np.random.default_rng(0).permutation(len(train))[:CHAIN_PICTURES])
        batches = list(fitted_batches(model, few))
        model.codebook.share_bits(lambda sizes: segment_distortion(model, batches, sizes))
    values = manifest_values(model, recipe, minutes, test.classes)
    values["unquantised_metric"] = round(unquantised_metric(model, test), 6)
    artifact = write_measured(values, export_files(model), train, test, folder, folded_codewords(model))
    if recipe.local_head is None:
        return artifact
    return give_local_head(artifact, train, test, folder, recipe.local_head)


def convert_measured(old: Path, train: Split, test: Split, folder: Path) -> Artifact:
    """Converts an artifact of format version 1, or takes one of today's, measures it on `test`, and writes it."""
    values, files = convert_files(old)
    return write_measured(values, files, train, test, folder)


def adapt_measured(old: Artifact, points: Sequence[Sizes], train: Split, test: Split, folder: Path) -> Artifact:
    """Gives an artifact codebooks of the sizes of these points, regrouped from its own, and measures all on `test`.

    Raises:
        UsageError: if it cannot be adapted.
    """
    check_adaptable(old.manifest)
    used = torch.from_numpy(largest_counts(old, train)).float()
    books = regrouped(old, used, {size for point in points for size in point})
    values, files = adapted(old, books, points)
    return write_measured({**values, "name": folder.name}, files, train, test, folder)


def give_local_head(old: Artifact, train: Split, test: Split, folder: Path, recipe: LocalHeadRecipe) -> Artifact:
    """Gives an artifact an answer of its own for the edge, in place of the one that it may have; all else stays.

    Raises:
        UsageError: if its task has no classes.
    """
    files = {name: read_file(old.folder, name) for name in old.manifest.files}
    return write_artifact(folder, *_headed(values_of(old.manifest), files, train, test, recipe))


def give_int8_decoder(old: Artifact, train: Split, folder: Path) -> Artifact:
    """Gives an artifact a decoder in int8 beside its own, calibrated on `train`; all else stays.

    Raises:
        UsageError: if its decoder cannot be made so.
    """
    if old.manifest.base is not None or not old.has(DECODER):
        raise UsageError(f"{old.manifest.name} has no decoder.onnx of its own, so there is none in int8.")
    files = {name: read_file(old.folder, name) for name in old.manifest.files}
    files[INT8_DECODER] = int8_decoder(files[DECODER], _inputs(old, train))
    return write_artifact(folder, values_of(old.manifest), files)


def _inputs(artifact: Artifact, train: Split) -> Iterator[dict[str, Any]]:
    """What a decoder is given of some training pictures, each alone, at a point that is drawn."""
    encoder, random = Encoder(artifact), np.random.default_rng(0)
    few = train.subset(random.permutation(len(train))[:CALIBRATION_PICTURES])
    for part, pictures in zip(parts(few), fitted(encoder, few), strict=True):
        for i, picture in enumerate(pictures):
            point = int(random.choice(measured(artifact.manifest)))
            given = {"indices": encoder.encode_batch(picture[None], point), "sizes": encoder.codec.sizes(point)[None]}
            yield given if part.asked is None else {**given, "questions": part.asked[i, :1]}


def _headed(
    values: dict[str, Any], files: dict[str, bytes], train: Split, test: Split, recipe: LocalHeadRecipe
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """An artifact's values and files with a local head that was trained on `train`, and measured on `test`."""
    trained = {**values["recipe"], "local_head": recipe.model_dump(mode="json")}
    values = {**values, "recipe": trained, "local_head": UNMEASURED}
    with tempfile.TemporaryDirectory() as scratch:
        bare = write_artifact(Path(scratch) / "bare", {**values, "local_head": None}, files)
        files = {**files, ENCODER: with_local_head(bare, train, recipe)}
        headed = write_artifact(Path(scratch) / "headed", values, files)
        return {**values, "local_head": local_figures(headed, train, test)}, files


def write_measured(
    values: Mapping[str, Any],
    files: Mapping[str, bytes],
    train: Split,
    test: Split,
    folder: Path,
    codewords: NDArray[np.floating] | None = None,
) -> Artifact:
    """Writes the artifact of exported files, with every point measured on `test` that is not to be interpolated.

    A refinable model of several segments gets a chain of one segment a plane, unless it has one. Entropy tables are
    counted on `train`, unless they are there already, and left out where they save too little; where the model takes
    any size, for its `codewords` (G, L, d), and not at all without. Of a chain before a heavy server half some planes
    are measured.
    """
    with tempfile.TemporaryDirectory() as scratch:
        # Everything is measured on a whole artifact, whose own figures are not known yet.
        if any(len(plane["segments"]) > 1 for plane in values["planes"]):
            values = ordered(write_artifact(Path(scratch) / "levels", values, files), values, train)
        if values["planes"] and values["backbone"].get("server_million_macs", 0) >= HEAVY:
            values = {**values, "points": heavy_to_be_measured(values["points"])}
        coded_files = dict(files)
        if TABLES not in files and (codewords is not None or not values["any_size"]):
            packed = write_artifact(Path(scratch) / "packed", unfitted(values), files)
            tables = entropy_tables(packed, train) if codewords is None else folded_tables(packed, train, codewords)
            coded_files[TABLES] = tables
        coded = write_artifact(Path(scratch) / "coded", unfitted(values), coded_files)
        warmth, rows = temperatures(coded, train), evaluate(coded, test)
        if values.get("local_head"):
            values = {**values, "local_head": local_figures(coded, train, test)}
        if not values.get("codec"):
            values = {**values, "codec": codec_figures(coded, test)}
    saved = 0.0
    if TABLES in coded_files:
        saved = 1 - sum(row["coded_bytes"] for row in rows) / sum(row["payload_bytes"] for row in rows)
        console.print(f"entropy coding saves {saved:.1%} of the bytes")
    worth = saved >= WORTH_CODING
    found = {
        row["point"]: {
            "sizes": row["sizes"],
            "payload_bytes": row["payload_bytes"],
            "coded_bytes": row["coded_bytes"] if worth else None,
            "metric": row[values["task"]["metric"]],
            "temperature": warmth[row["point"]],
        }
        for row in rows
    }
    points = between(values["points"], found, chain=bool(values["planes"]))
    points.sort(key=lambda point: (point["payload_bytes"], point["metric"]))
    return write_artifact(folder, {**values, "points": points}, coded_files if worth else files)


def unfitted(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with every temperature 1, as it is fitted and measured from."""
    points = [{**point, "temperature": 1.0} for point in values["points"]]
    return {**values, "points": points, "local_head": UNMEASURED if values.get("local_head") else None}


def ordered(artifact: Artifact, values: Mapping[str, Any], train: Split) -> dict[str, Any]:
    """The values with planes of one segment each, in the order in which answers come nearest to the finest point's.

    So no label is needed, and a picture tells more than by being answered right or wrong.
    """
    encoder, decoder, manifest = Encoder(artifact), OnnxDecoder(artifact), artifact.manifest
    task = TASKS[manifest.task.name]
    few = _some(manifest, train)
    finest = np.concatenate(
        [encoder.encode_batch(part, encoder.finest) for one in few for part in fitted(encoder, one)]
    )
    asked = None if train.asked is None else np.concatenate([one.asked[:, 0] for one in few if one.asked is not None])

    def decode(indices: Any, sizes: Any) -> torch.Tensor:
        points = np.zeros(len(indices), np.int64)  # temperature 1
        given = (indices, sizes, points) if asked is None else (indices, sizes, points, asked)
        parts = zip(*(np.array_split(one, 1 + len(one) // BATCH) for one in given), strict=True)
        outputs = torch.from_numpy(np.concatenate([decoder.decode(*part) for part in parts]))
        return outputs.clamp(min=1e-12).log() if manifest.task.names else outputs

    target = decode(finest, np.full((len(finest), len(manifest.segments)), manifest.largest_size, np.int32))

    def loss(outputs: torch.Tensor) -> float:
        return float(task.divergence(outputs, target, CHAIN_TEMPERATURE))

    chain = greedy_chain(finest, manifest.largest_size, manifest.segments, decode, loss)
    return with_chain(dict(values), chain.order)


def _some(manifest: Manifest, train: Split) -> tuple[Split, Split]:
    """Training pictures: those that were held out from training first."""
    recipe = manifest.recipe
    kept, held = hold_out(train, recipe["hold_out_every"], recipe["seed"])
    order = np.random.default_rng(0).permutation(len(kept))
    return held, kept.subset(order[: max(0, CHAIN_PICTURES - len(held))])
