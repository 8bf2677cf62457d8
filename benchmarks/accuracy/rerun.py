"""Trains a row and measures it: per rate, on the held-out training pictures and on the test pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.accuracy.codecs import codec_row
from benchmarks.accuracy.rows import (
    ABLATIONS,
    CODECS,
    GENERATORS,
    PICTURED,
    RESHAPED_FAMILIES,
    SIZES,
    STARTS,
    recipe_of,
    result_path,
)
from training.backbones import BACKBONES
from training.codebooks import Codebook, Sizes
from training.codebooks.ops import at_point
from training.data import Split
from training.export import hardware
from training.loop import StageRun
from training.losses import unquantised_loss
from training.model import RateModel
from training.prepare import make_views
from training.recipe import Recipe
from training.scores import perplexity, scores
from training.stages import calibration, first_stage, latents_of, train_on, trained_model
from training.views import Batch, Views, as_input
from wire.manifest import block_bytes
from wire.pictures import fit_picture

USAGE_BATCHES = 8


def rerun(names: list[str], train: Split, test: Split, runs: Path, weights_file: str | None) -> None:
    """Trains and measures the rows, writing each one's JSON as soon as it is known."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pretrained: dict[str, dict[str, Tensor]] = {}
    made: dict[str, tuple[Views, list[Batch]]] = {}
    for name in names:
        recipe, variant, classes = recipe_of(name), name.split("/")[1], len(train.classes)
        profile, start = name.partition("/")[0], STARTS.get(name.partition("/")[0])
        begun = recipe_of(f"{profile}/{start}/0") if start else recipe
        """Whose views and stage 1 it has."""
        backbone, key = begun.network.backbone, begun.views_key()
        for needed in {backbone, begun.teaches or backbone} - pretrained.keys():
            pretrained[needed] = BACKBONES[needed].pretrained(weights_file)
        if key not in made:
            views = make_views(begun, train, runs, pretrained, device)
            made = {key: (views, test_batches(test, recipe.picture, device))}
        views, batches = made[key]
        weights = pretrained[backbone] if recipe.network.weights != "random" else None
        result: dict[str, Any] = {"row": name, "profile": profile, "pictures": len(test)}
        if variant in CODECS:
            model = first_stage(recipe, views, classes, runs, weights)
            result |= {"test": codec_row(name, model, views, test, runs)}
        elif variant in GENERATORS:
            model = train_on(recipe, views, classes, runs, weights)
            regroup(variant, model, views)
            result |= {"test": measure_sizes(model, batches)}
        else:
            if start:
                adopt_stage_1(recipe, begun, views, classes, runs, weights)
            model = train_on(recipe, views, classes, runs, weights)
            result |= {"held_out": measure(model, views.held_batches())}
            result |= {"grid": measure_prefixes(model, batches)} if variant == "prefix" else {}
            # An idea is judged on the held-out pictures; the test pictures are for what is kept.
            result |= {} if variant in ABLATIONS else {"test": measure(model, batches)}
            result |= {"codewords": codewords(model)} if variant in PICTURED else {}
        _, minutes = trained_model(recipe, classes, runs)
        result |= {"minutes": round(minutes, 1), "hardware": hardware(), "recipe": recipe.model_dump(mode="json")}
        path = result_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")


def adopt_stage_1(
    recipe: Recipe, of: Recipe, views: Views, classes: int, runs: Path, weights: dict[str, Tensor] | None
) -> None:
    """Has a recipe start from the stage 1 of another one."""
    path, key = runs / f"stage1-{recipe.stage1_key()}.pt", recipe.stage1_key()
    if path.exists() or key == of.stage1_key():
        return
    trained = first_stage(of, views, classes, runs, weights)
    model = RateModel(recipe, classes, None).to(views.labels.device)
    if recipe.codebook.family in RESHAPED_FAMILIES:
        from benchmarks.accuracy.placing import adopt

        adopt(model.network, trained.network, calibration(model, views)[0])
    else:
        model.network.load_state_dict(trained.network.state_dict())
    nothing = recipe.stage1.model_copy(update={"epochs": 0})
    StageRun(path, key, nothing, model, model.network, [()], views).train(lambda batch: unquantised_loss(model, batch))


def regroup(variant: str, model: RateModel, views: Views) -> None:
    """Gives a model of one size the others, where the row has no training for them."""
    from benchmarks.accuracy.generated import RegroupedCodebook, shuffle_rows

    if variant == "model-based":
        model.codebook = RegroupedCodebook(model.codebook, latents_of(model, views))  # type: ignore[assignment]
    elif variant == "random-rows":
        shuffle_rows(model.codebook)


@torch.no_grad()
@torch.compiler.set_stance("force_eager")
def measure_sizes(model: RateModel, batches: list[Batch]) -> list[dict[str, Any]]:
    """Scores at each of `SIZES`."""
    model.eval()
    labels = torch.cat([batch.labels for batch in batches]).cpu().numpy()
    outputs: dict[int, list[Tensor]] = {size: [] for size in SIZES}
    for batch in batches:
        z = model.codebook.quantise(model.sub_vectors_of(batch.pictures), SIZES)
        for size in SIZES:
            outputs[size].append(model.decode(z[size]).float().cpu())
    return [
        {
            "size": size,
            "payload_bytes": block_bytes([model.sub_vectors], [size]),
            **scores(torch.cat(outputs[size]).softmax(1).numpy(), labels).model_dump(),
        }
        for size in SIZES
    ]


def test_batches(test: Split, size: int, device: torch.device) -> list[Batch]:
    """The test pictures as the network sees them."""
    pictures = torch.stack(
        [torch.tensor(fit_picture(test.picture(i), size)).permute(2, 0, 1) for i in range(len(test))]
    ).to(device)
    labels = torch.from_numpy(test.labels).to(device)
    pairs = zip(pictures.split(128), labels.split(128), strict=True)
    return [Batch(as_input(p), l, None) for p, l in pairs]


@torch.no_grad()
@torch.compiler.set_stance("force_eager")
def measure(model: RateModel, batches: list[Batch]) -> list[dict[str, Any]]:
    """Scores at every point, unquantised first: levels of the segments, bytes a picture, codeword usage."""
    model.eval()
    labels = torch.cat([batch.labels for batch in batches]).cpu().numpy()
    points: list[Sizes] = [(), *model.codebook.points()]
    outputs: dict[Sizes, list[Tensor]] = {point: [] for point in points}
    sample: list[Tensor] = []
    for batch in batches:
        x = model.sub_vectors_of(batch.pictures)
        sample += [x] if len(sample) < USAGE_BATCHES else []
        z = model.codebook.quantise(x, sorted({size for point in points for size in point}))
        for point in points:
            vectors = at_point(z, point, model.codebook.segments) if point else x
            outputs[point].append(model.decode(vectors).float().cpu())
    rows: list[dict[str, Any]] = []
    for point in points:
        allocation = levels_of(model.codebook, point)
        figures = scores(torch.cat(outputs[point]).softmax(1).numpy(), labels).model_dump()
        usage = {"perplexity": _usage(model, torch.cat(sample), point[0])} if len(allocation) == 1 else {}
        rows.append({"allocation": allocation, "payload_bytes": payload_bytes(model, point), **figures, **usage})
    return rows


def measure_prefixes(model: RateModel, batches: list[Batch]) -> list[dict[str, Any]]:
    """As `measure`, from the first of a picture's tokens alone, at whole levels."""
    from benchmarks.accuracy.placing import SIDE, Unmixed

    assert isinstance(model.network.expand, Unmixed)
    rows = []
    for tokens in (side * side for side in range(1, SIDE + 1)):
        model.network.expand.tokens = tokens
        share = tokens / SIDE**2
        for row in measure(model, batches):
            level, cost = row["allocation"], share * row["payload_bytes"]
            rows.append({"tokens": tokens, "allocation": level, "payload_bytes": cost, "top1": row["top1"]})
    return rows


def levels_of(codebook: Codebook, point: Sizes) -> list[int]:
    """The level of each segment; one for all, where the family gives all segments the same."""
    levels = [size.bit_length() - 1 for size in point]
    return levels[:1] if all(len(set(other)) == 1 for other in codebook.points()) else levels


def payload_bytes(model: RateModel, point: Sizes) -> float:
    """Packed, of a picture; 0 of the unquantised one."""
    segments = model.codebook.segments
    positions = model.sub_vectors // sum(segments)
    bits = sum((size.bit_length() - 1) * groups for size, groups in zip(point, segments, strict=False))
    return bits * positions / 8


def _usage(model: RateModel, x: Tensor, size: int) -> float:
    sizes = torch.full((x.shape[1],), size, device=x.device)
    return perplexity(model.codebook.encode(x, sizes).cpu().numpy())


@torch.no_grad()
def codewords(model: RateModel) -> dict[int, list[list[float]]]:
    """The first channel group's codewords at every level, for the picture of the codebook."""
    table, starts = model.codebook.table()
    return {
        size.bit_length() - 1: [[round(float(v), 4) for v in word] for word in table[0, starts[size] :][:size]]
        for size in model.codebook.sizes
    }
