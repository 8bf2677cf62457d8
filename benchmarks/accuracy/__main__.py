"""python -m benchmarks.accuracy: tables and plots from committed results, and the runs behind them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.accuracy import results, tables
from benchmarks.command import SHIPPED
from benchmarks.command import run as run_command
from benchmarks.results import committed_bars, read_results, write_results
from wire.exceptions import UsageError

NESTED = SHIPPED.with_name("imagewoof64-compact-nested")

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.command()
def table1(as_json: Annotated[bool, typer.Option("--json", help="A list of rows, fractions.")] = False) -> None:
    """Table I: every family under the three dynamic channels, beside the paper."""
    found = results.read()
    if as_json:
        print(json.dumps([family.row() for family in results.families(found)], indent=1))
    else:
        tables.print_table1(found)
        tables.print_levels(found)


@app.command()
def mixed() -> None:
    """Mixed resolution against identical allocation, budget by budget."""
    tables.print_mixed(results.read())


@app.command()
def ablations() -> None:
    """What each idea is worth: one change each, same seed, same epochs."""
    tables.print_ablations(results.read())


@app.command()
def codecs() -> None:
    """Ours beside WebP, JPEG and AVIF on the same pictures."""
    tables.print_codecs(results.read())


@app.command()
def figures() -> None:
    """Draw the plots from the committed results."""
    from benchmarks.accuracy.figures import draw

    for path in draw(results.read()):
        print(path)


@app.command()
def confidence(
    data: Annotated[str, typer.Option(help="imagewoof:DIR, or a folder")],
    model: Annotated[Path, typer.Option(help="Folder of a progressive artifact.")] = SHIPPED,
) -> None:
    """What "95 % sure" is worth on the test pictures, as JSON, written to results/."""
    from benchmarks.accuracy.confidence import confidence as run
    from training.data import load_split

    sys.exit(write_results("accuracy", "confidence", run(model, load_split(data, "test")), []))


@app.command()
def cascade(
    data: Annotated[str, typer.Option(help="imagewoof:DIR, or a folder")],
    model: Annotated[Path, typer.Option(help="Folder of a progressive artifact with a local head.")] = SHIPPED,
    through_server: Annotated[bool, typer.Option("--through-server", help="Also by a client and a server.")] = False,
) -> None:
    """Bytes and accuracy where the edge answers if it is sure, and else sends until an answer is; to results/."""
    from benchmarks.accuracy.cascade import cascade as run
    from training.data import load_split
    from wire.artifact import load_artifact

    found = run(load_artifact(model), load_split(data, "test"), through_server=through_server)
    sys.exit(write_results("accuracy", "cascade", *found))


@app.command()
def curve(
    model: Annotated[Path, typer.Option(help="Folder of a progressive artifact with a local head.")] = SHIPPED,
) -> None:
    """Accuracy from no byte on, as the model's manifest has it, written to results/."""
    from benchmarks.accuracy.curve import curve as run
    from wire.artifact import load_artifact

    sys.exit(write_results("accuracy", "curve", *run(load_artifact(model, edge=True).manifest)))


@app.command()
def int8(
    data: Annotated[str, typer.Option(help="imagewoof:DIR, or a folder")],
    model: Annotated[Path, typer.Option(help="Folder of an artifact that `artoveq int8` made.")] = SHIPPED,
) -> None:
    """What a decoder in int8 loses at each level, and gains in time, written to results/."""
    from benchmarks.accuracy.int8 import int8 as run
    from training.data import load_split
    from wire.artifact import load_artifact

    sys.exit(write_results("accuracy", "int8", *run(load_artifact(model), load_split(data, "test"))))


@app.command()
def robustness(
    models: Annotated[
        list[Path] | None, typer.Argument(help="Folders of artifacts; all shipped ones if left out.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="imagewoof:DIR or cifar100:DIR; measures anew.")] = None,
) -> None:
    """What noise, blur, JPEG, exposure and white balance cost; rows of models that are not measured stay."""
    from benchmarks.accuracy.markdown import robustness_table

    if data is None:
        print(robustness_table())
        sys.exit(not all(bar.holds for bar in committed_bars("accuracy", "robustness")))
    from benchmarks.accuracy import robustness as of
    from training.data import load_split
    from wire.artifact import load_artifact

    test = load_split(data, "test")
    folders = models or sorted(path.parent for path in results.MODELS.glob("*/manifest.json"))
    artifacts = [load_artifact(folder) for folder in folders]
    found = of.robustness(artifacts if models else of.classifiers(artifacts, test.classes), test)
    sys.exit(write_results("accuracy", "robustness", *found))


@app.command()
def reconstruction(
    data: Annotated[str, typer.Option(help="cifar100:DIR")],
    rows: Annotated[list[str] | None, typer.Argument(help="rate-adaptive, fixed-4, …; all if left out.")] = None,
    weights: Annotated[Path | None, typer.Option(help="ImageNet weights; fetched if left out.")] = None,
    runs: Annotated[Path, typer.Option(help="Where checkpoints are kept.")] = Path("runs"),
) -> None:
    """Train VQ-VAEs, or go on where they stopped, and measure what they reconstruct. Other rows stay as they were."""
    from benchmarks.accuracy import autoencoders
    from benchmarks.accuracy import reconstruction as of
    from training.data import load_split

    wanted = rows or list(of.ROWS)
    if unknown := [row for row in wanted if row not in of.ROWS]:
        raise UsageError(f"There is no row {unknown[0]!r}; rows are {', '.join(of.ROWS)}.")
    split, test = load_split(data, "train"), load_split(data, "test")
    found = autoencoders.run(wanted, split, test, runs, str(weights) if weights else None)
    earlier = read_results("accuracy", "reconstruction")
    figures = of.merged(found, earlier and earlier["figures"], autoencoders.recipe_keys())
    sys.exit(write_results("accuracy", "reconstruction", figures, of.bars(figures)))


@app.command()
def questions(
    rows: Annotated[list[str] | None, typer.Argument(help="aligned, unquantised, smollm2; all if left out.")] = None,
    data: Annotated[str, typer.Option(help="easyvqa, or easyvqa:DIR; the committed table if left out.")] = "",
    weights: Annotated[Path | None, typer.Option(help="ImageNet weights; fetched if left out.")] = None,
    runs: Annotated[Path, typer.Option(help="Where checkpoints are kept.")] = Path("runs"),
) -> None:
    """Answers to questions, quantised or not, beside those that need no picture: the table, or with --data its rows."""
    from benchmarks.accuracy import questions as of
    from benchmarks.results import committed_bars

    if not data:
        print(of.questions_table())
        sys.exit(not all(bar.holds for bar in committed_bars("accuracy", "questions")))
    from benchmarks.accuracy import answering, speaking
    from training.data import load_split

    wanted = rows or list(of.ROWS)
    if unknown := [row for row in wanted if row not in of.ROWS]:
        raise UsageError(f"There is no row {unknown[0]!r}; rows are {', '.join(of.ROWS)}.")
    split, test = load_split(data, "train"), load_split(data, "test")
    chosen = [row for row in wanted if row in of.CHOSEN]
    found = answering.run(chosen, split, test, runs, str(weights) if weights else None)
    if of.SPOKEN in wanted:
        found["trained"][of.SPOKEN], spoken = speaking.run(split, test, runs)
        found["rows"] += spoken
    earlier = read_results("accuracy", "questions")
    keys = {**answering.recipe_keys(), of.SPOKEN: speaking.recipe().key()}
    figures = of.merged(found, earlier and earlier["figures"], keys)
    sys.exit(write_results("accuracy", "questions", figures, of.bars(figures)))


@app.command()
def aligned() -> None:
    """Aligned models by all bytes that cross, their bars, and what each of their parts is worth."""
    from benchmarks.accuracy import aligned as of

    manifests = results.shipped_aligned()
    print(of.all_tables(results.read(), manifests))
    found = [bar for one in manifests if one.name == of.VIT for bar in of.bars(one)]
    print("", *found, sep="\n")
    sys.exit(not all(bar.holds for bar in found))


@app.command()
def raq() -> None:
    """What RAQ's generators and ours are worth, in SQNR and in accuracy, and what is reconstructed: tables and bars."""
    from benchmarks.accuracy.markdown import generators_table, sqnr_table
    from benchmarks.accuracy.reconstruction import reconstruction_table

    print(sqnr_table(), generators_table(), reconstruction_table(), sep="\n\n")
    found = [*committed_bars("accuracy", "sqnr"), *committed_bars("accuracy", "reconstruction")]
    print("", *found, sep="\n")
    sys.exit(not all(bar.holds for bar in found))


@app.command()
def sqnr(
    data: Annotated[str, typer.Option(help="imagewoof:DIR")],
    model: Annotated[Path, typer.Option(help="Folder of a nested artifact.")] = NESTED,
) -> None:
    """Ways to codebooks of any size (RAQ), in SQNR on the model's latents, as JSON, written to results/."""
    from benchmarks.accuracy.raq import raq as run
    from training.data import load_split

    sys.exit(write_results("accuracy", "sqnr", *run(model, load_split(data, "train"), load_split(data, "test"))))


@app.command()
def rerun(
    rows: Annotated[list[str], typer.Argument(help="PROFILE/VARIANT/SEED, for example imagewoof64-compact/nested/0")],
    data: Annotated[str, typer.Option(help="imagewoof:DIR or cifar100:DIR")],
    weights: Annotated[Path | None, typer.Option(help="ImageNet weights; fetched if left out.")] = None,
    runs: Annotated[Path, typer.Option(help="Where checkpoints are kept.")] = Path("runs"),
) -> None:
    """Train rows, or go on where they stopped, and write their figures to results/."""
    from benchmarks.accuracy import rerun as training
    from training.data import load_split

    split, test = load_split(data, "train"), load_split(data, "test")
    training.rerun(rows, split, test, runs, str(weights) if weights else None)


if __name__ == "__main__":
    run_command(app)
