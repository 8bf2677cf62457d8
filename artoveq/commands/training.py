"""train, export, convert, adapt and evaluate: from pictures to an artifact and its figures."""

from __future__ import annotations

import enum
import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from artoveq.commands import options as of
from artoveq.commands.options import console, errors
from wire.artifact import Artifact


class Scenario(str, enum.Enum):
    """The paper's dynamic channels: all rates alike, low ones likelier, high ones likelier."""

    S1 = "S1"
    S2 = "S2"
    S3 = "S3"


def train(
    data: of.Data,
    recipe: Annotated[Path | None, typer.Argument(help="A recipe; one is picked for the pictures if left out.")] = None,
    weights: Annotated[Path | None, typer.Option(help="ImageNet weights; fetched by torchvision if left out.")] = None,
    runs: of.Runs = Path("runs"),
    models: of.Models = Path("models"),
    strict: of.Strict = False,
    name: Annotated[str | None, typer.Option(help="Of the model; the folder's if left out.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Of stage 1; stage 3 has half as many.")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="Of training, at most; measuring comes after it.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:NUMBER; auto is a GPU where there is one.")] = "auto",
) -> None:
    """Train, or go on where it stopped; then export the artifact, and measure what it delivers at every point.

    A report in HTML lies beside it. With `torchrun --no-python` before it on several devices.
    """
    if recipe is not None and _speaks(recipe, data, runs, device, strict=strict):
        return
    from training import processes
    from training.data import load_split
    from training.export import check_exportable
    from training.inspection import findings
    from training.recipe import read_recipe
    from training.stages import train as run

    file, wanted = str(weights) if weights else None, read_recipe(recipe) if recipe else None
    if wanted:
        check_exportable(wanted)
        if name or epochs or minutes:
            raise typer.BadParameter("A recipe says its name, epochs and minutes; leave these out, or the recipe.")
    with processes.joined(device) as place:
        with processes.first_before_others():
            split, test = (load_split(data, part, strict=strict) for part in ("train", "test"))
            for finding in findings(split, test) if processes.is_first() else ():
                errors.print(f"[yellow]warning:[/] {escape(finding)}", soft_wrap=True)
            wanted = wanted or _picked(
                split, name or Path(data.rpartition(":")[2]).resolve().name, file, epochs, minutes
            )
        run(wanted, split, runs, weights_file=file, device=place)
        exports = processes.is_first()
    if exports:
        from artoveq.exporting import export_measured
        from artoveq.report import report

        artifact = export_measured(wanted, runs, split, test, models / wanted.name)
        page = models / f"{wanted.name}.html"
        page.write_text(report(artifact, test))
        console.print(f"What it does well, and what not: {page}", soft_wrap=True)
        _show(artifact, len(test))
        console.print(f"Then ask it with: artoveq {_verb(artifact)} PICTURE --server localhost:50051", soft_wrap=True)


def _speaks(recipe: Path, data: str, runs: Path, device: str, *, strict: bool) -> bool:
    """Whether a recipe is one for a language model; then it is trained."""
    from training import processes
    from training.data import load_split
    from training.language.recipe import read_language_recipe, speaks
    from training.language.training import train

    if not speaks(recipe):
        return False
    wanted = read_language_recipe(recipe)
    with processes.joined(device) as place:
        train(wanted, load_split(data, "train", strict=strict), runs, place)
    console.print(f"{wanted.name} is trained.")
    return True


def _verb(artifact: Artifact) -> str:
    """The command that asks a served model."""
    return {"reconstruction": "reconstruct", "question answering": "ask"}.get(artifact.manifest.task.name, "classify")


def _picked(split: Any, name: str, weights: str | None, epochs: int | None, minutes: float | None) -> Any:
    from training.automatic import recipe_for
    from training.backbones import BACKBONES
    from wire.exceptions import TrainingError

    pretrained = True
    try:
        BACKBONES["mobilenet_v2"].pretrained(weights)
    except TrainingError as error:
        if weights is not None:
            raise
        errors.print(f"[yellow]warning:[/] {escape(str(error))} Training starts from nothing.", soft_wrap=True)
        pretrained = False
    wanted = recipe_for(split, name, pretrained=pretrained, epochs=epochs, minutes=minutes)
    errors.print(
        f"{len(split)} pictures of {len(split.classes)} classes to train on, at {wanted.picture}×{wanted.picture}; "
        f"{wanted.stage1.epochs} and {wanted.stage3.epochs} epochs."
    )
    return wanted


def export(
    recipe: Annotated[Path, typer.Argument(help="The recipe that was trained.")],
    data: of.Data,
    runs: of.Runs = Path("runs"),
    models: of.Models = Path("models"),
    strict: of.Strict = False,
) -> None:
    """Export a trained recipe as an artifact, with its figures measured on the test pictures."""
    from training.data import load_split
    from training.language import export as of_language
    from training.language.recipe import read_language_recipe, speaks
    from training.recipe import read_recipe

    if not speaks(recipe):
        _export(read_recipe(recipe), data, runs, models, strict=strict)
        return
    split, test = load_split(data, "train", strict=strict), load_split(data, "test", strict=strict)
    _show(of_language.export(read_language_recipe(recipe), runs, split, test, models), of_language.PICTURES)


def _export(wanted: Any, data: str, runs: Path, models: Path, *, strict: bool) -> None:
    from artoveq.exporting import export_measured
    from training.data import load_split

    split, test = load_split(data, "train", strict=strict), load_split(data, "test", strict=strict)
    _show(export_measured(wanted, runs, split, test, models / wanted.name), len(test))


def convert(
    artifact: Annotated[Path, typer.Argument(help="Folder of an artifact, of format version 1 or newer.")],
    data: of.Data,
    into: Annotated[Path | None, typer.Option(help="Folder of the new artifact; in place of the old one.")] = None,
) -> None:
    """Convert an artifact to today's format, and measure its points anew; its weights stay as they are."""
    from artoveq.exporting import convert_measured
    from training.data import load_split

    split, test = load_split(data, "train"), load_split(data, "test")
    _show(convert_measured(artifact, split, test, into or artifact), len(test))


def local_head(
    artifact: Annotated[Path, typer.Argument(help="Folder of an artifact whose answers are classes.")],
    data: of.Data,
    into: Annotated[Path | None, typer.Option(help="Folder of the new artifact; in place of the old one.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Of the head's training; all else stays as it is.")] = 15,
) -> None:
    """Give the edge an answer of its own, for which no byte is sent (point 0): a small head, trained in minutes."""
    from artoveq.exporting import give_local_head
    from training.data import load_split
    from training.local_head import check_answers
    from training.recipe import LocalHeadRecipe
    from wire.artifact import load_artifact

    old = load_artifact(artifact)
    check_answers(old.manifest)
    split, test = load_split(data, "train"), load_split(data, "test")
    recipe = LocalHeadRecipe.model_validate({"epochs": epochs})
    _show(give_local_head(old, split, test, into or artifact, recipe), len(test))


def int8(
    artifact: Annotated[Path, typer.Argument(help="Folder of an artifact.")],
    data: of.Data,
    into: Annotated[Path | None, typer.Option(help="Folder of the new artifact; in place of the old one.")] = None,
) -> None:
    """Give a model a decoder in int8 beside its own, for `serve --precision int8` or `auto`; nothing is trained."""
    from artoveq.exporting import give_int8_decoder
    from training.data import load_split
    from wire.artifact import load_artifact
    from wire.manifest import DECODER, INT8_DECODER

    made = give_int8_decoder(load_artifact(artifact), load_split(data, "train"), into or artifact)
    sizes = [made.path(file).stat().st_size / 1e6 for file in (DECODER, INT8_DECODER)]
    console.print("{}: {} of {:.1f} MB beside {:.1f} MB".format(made.folder, INT8_DECODER, *sizes[::-1]))
    console.print(f"Serve it with: artoveq serve --model {made.folder} --precision auto", soft_wrap=True)


def adapt(
    artifact: Annotated[Path, typer.Argument(help="Folder of an artifact whose sizes are powers of two.")],
    sizes: Annotated[
        str, typer.Option(help="Codebook sizes, as in 3,37,1000, one for each segment as in 8/3/1, or drawn:20.")
    ],
    data: of.Data,
    seed: Annotated[int, typer.Option(help="Of drawn sizes.")] = 0,
    into: Annotated[Path | None, typer.Option(help="Folder of the new artifact; NAME-any-size if left out.")] = None,
) -> None:
    """Give an artifact points of any codebook size without training: its codewords are grouped, or more are added."""
    from artoveq.exporting import adapt_measured
    from artoveq.sizes import sizes_of
    from training.adapt import LARGEST, check_adaptable
    from training.data import load_split
    from wire.artifact import load_artifact

    old = load_artifact(artifact)
    check_adaptable(old.manifest)
    wanted = sizes_of(sizes, old.manifest.model_copy(update={"any_size": True, "largest_size": LARGEST}), seed)
    split, test = load_split(data, "train"), load_split(data, "test")
    folder = into or artifact.with_name(f"{artifact.name}-any-size")
    _show(adapt_measured(old, wanted, split, test, folder), len(test))


def _show(artifact: Artifact, pictures: int) -> None:
    from training.tasks import TASKS

    manifest = artifact.manifest
    shown = TASKS[manifest.task.name].shown
    table = Table("point", "sizes", "bytes", manifest.task.metric, title=f"{artifact.folder}, {pictures} test pictures")
    if manifest.local_head is not None:
        table.add_row("0", "the edge alone", "0", shown(manifest.local_head.metric))
    for number, point in enumerate(manifest.points, 1):
        table.add_row(str(number), " ".join(map(str, point.sizes)), f"{point.mean_bytes:.0f}", shown(point.metric))
    table.add_row("–", "unquantised", "", shown(manifest.unquantised_metric))
    console.print(table)
    console.print(f"Serve it with: artoveq serve --model {artifact.folder}", soft_wrap=True)


def evaluate(
    artifacts: Annotated[
        list[Path] | None,
        typer.Argument(help="Folder of the artifact; with --scenario several, or all in models/ if left out."),
    ] = None,
    data: Annotated[str | None, typer.Option(help="As for train; measures anew.")] = None,
    through_server: Annotated[bool, typer.Option("--through-server", help="Stream to a real server.")] = False,
    sizes: Annotated[
        str | None,
        typer.Option(help="Measure at these codebook sizes, as in 2,37,1024, or at so many drawn ones: drawn:20."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of drawn sizes.")] = 0,
    scenario: Annotated[
        list[Scenario] | None,
        typer.Option(help="What the artifact's committed figures deliver where the rate changes: S1, S2 or S3."),
    ] = None,
    strict: of.Strict = False,
) -> None:
    """Measure an artifact on the test pictures: how good its answers are, and bytes, per point, as JSON."""
    from wire.artifact import load_artifact

    if scenario:
        from artoveq.scenarios import delivered, points_by_rate

        folders = artifacts or sorted(p.parent for p in Path("models").glob("*/manifest.json"))
        if not folders:
            raise typer.BadParameter("There is no artifact in models/; name the folders of some.")
        for manifest in (load_artifact(folder).manifest for folder in folders):
            rates = {rate: point.metric for rate, point in points_by_rate(manifest).items()}
            row = {s.value: round(delivered(rates, s.value), 6) for s in scenario}
            print(
                json.dumps({"artifact": manifest.name, "profile": manifest.profile, "family": manifest.family, **row})
            )
        return
    if data is None or artifacts is None or len(artifacts) != 1:
        raise typer.BadParameter("Give one artifact and --data, or artifacts and --scenario.")
    from artoveq import evaluation
    from artoveq.sizes import at_sizes, sizes_of
    from training.data import load_split

    loaded = load_artifact(artifacts[0])
    split = load_split(data, "test", strict=strict)
    split = evaluation.drawn(loaded.manifest, split) if through_server else split
    measure = evaluation.evaluate_through_server if through_server else evaluation.evaluate
    report: dict[str, Any] = {"artifact": loaded.manifest.name, "pictures": len(split)}
    if sizes is not None and sizes.startswith("drawn:"):
        report["seed"] = seed
    with tempfile.TemporaryDirectory() as scratch:
        if sizes is not None:
            loaded = at_sizes(loaded, sizes_of(sizes, loaded.manifest, seed), Path(scratch) / "sizes")
        report["points"] = measure(loaded, split)
    print(json.dumps(report, indent=1))


def compare(
    first: Annotated[Path, typer.Argument(help="Folder of an artifact.")],
    second: Annotated[Path, typer.Argument(help="Folder of another one, of the same task.")],
    data: of.Data,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Compare two models on the test pictures: how good each is for as many bytes, and how sure the difference is."""
    from artoveq import comparison
    from training.data import load_split
    from training.tasks import TASKS
    from wire.artifact import load_artifact

    models = load_artifact(first), load_artifact(second)
    split = load_split(data, "test")
    rows, (one, other) = comparison.compare(*models, split), (model.manifest for model in models)
    if as_json:
        print(json.dumps({"models": [one.name, other.name], "pictures": len(split), "rows": rows}, indent=1))
        return
    shown, metric = TASKS[one.task.name].shown, one.task.metric
    table = Table(
        "bytes",
        f"1: {one.name}",
        f"2: {other.name}",
        "1 better, 2 better",
        "p",
        title=f"{metric}, {len(split)} test pictures",
    )
    for row in rows:
        points = [f"{shown(value)} (point {point})" for value, point in zip(row[metric], row["points"], strict=True)]
        table.add_row(f"{row['bytes']:.0f}", *points, "{}, {}".format(*row["better"]), f"{row['p']:.2g}")
    console.print(table)
    console.print("p: how probable so uneven a count of better answers is, where both models are as good.")
