"""A model's card, README.md of its folder: what it is, costs and gives, from its manifest and committed results alone.

The head is YAML as hubs of models read it, each value written as JSON, which is YAML, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from wire.exceptions import DataError
from wire.manifest import Manifest, OperatingPoint

MOST_ROWS = 24
"""Of the table of points: beyond, every so many-th one is shown."""
MOST_CLASSES = 100
"""That are named."""
TASKS = {"classification": "image-classification", "reconstruction": "image-to-image"}
"""As hubs call them."""
PART_OF_IMAGENET = ("imagewoof", "imagewoof-questions")
"""Data sets whose test pictures pretrained weights may have seen."""
PRETRAINED = {
    "imagenet": "ImageNet's weights",
    "dinov2": "DINOv2's weights, which learnt from ImageNet's pictures among others (Oquab et al. 2023)",
}
"""By the name that a recipe has for them."""


def card(manifest: Manifest, licence: str = "", results: Iterable[Mapping[str, Any]] = ()) -> str:
    """The card. licence: an SPDX identifier, or empty. results: of benchmarks, those of this model are shown."""
    sections = [_about(manifest), _points(manifest), _data(manifest)]
    sections += [_result(one) for one in results if one["figures"].get("model") == manifest.name]
    recipe = json.dumps(manifest.recipe, indent=1, ensure_ascii=False)
    sections += [f"## Recipe\n\n```json\n{recipe}\n```", _licence(licence)]
    return _head(manifest, licence) + "\n\n".join(sections) + "\n"


def read_results(folder: Path) -> list[dict[str, Any]]:
    """The results of benchmarks in a folder: JSON objects with name, command, commit, date and figures.

    Raises:
        DataError: if one cannot be read.
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            one = json.loads(path.read_bytes())
            found.append({key: one[key] for key in ("name", "command", "commit", "date", "figures")})
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise DataError(f"{path} is no result of a benchmark ({error}); take it out of the folder.") from error
    return found


def _head(manifest: Manifest, licence: str) -> str:
    measured = {
        "task": {"type": TASKS.get(manifest.task.name, manifest.task.name)},
        "dataset": {"name": manifest.dataset, "type": manifest.dataset, "split": "test"},
        "metrics": [{"name": manifest.task.metric, "type": _metric(manifest), "value": manifest.points[-1].metric}],
    }
    values = {
        **({"license": licence} if licence else {}),
        "library_name": "artoveq",
        "pipeline_tag": TASKS.get(manifest.task.name, "other"),
        "tags": ["artoveq", "onnx", "split-computing", manifest.family, str(manifest.backbone.get("name", "other"))],
        "datasets": [manifest.dataset],
        "metrics": [_metric(manifest)],
        "model-index": [{"name": manifest.name, "results": [measured]}],
    }
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    return "\n".join(["---", *lines, "---", "", ""])


def _metric(manifest: Manifest) -> str:
    return {"top1": "accuracy"}.get(manifest.task.metric, manifest.task.metric)


def _about(manifest: Manifest) -> str:
    c, h, w = manifest.latent.shape
    size, points = manifest.preprocessing.size, manifest.points
    sends = "plane by plane, each of which refines the answer" if manifest.refinable else "as one block"
    rates = f"{points[0].mean_bytes:.0f} to {points[-1].mean_bytes:.0f} bytes a picture"
    return (
        f"# {_text(manifest.name)}\n\n"
        f"One network, cut in two: an edge turns a picture of {size}×{size} pixels into {manifest.sub_vectors} indices "
        f"of a learned codebook, and a server answers from them ({_text(manifest.task.name)}), at each of "
        f"{len(points)} operating points, {rates}, sent {sends}.\n\n"
        + _table(
            ("", ""),
            [
                ("family of codebooks", _text(manifest.family)),
                ("backbone", _text(", ".join(f"{key} {value}" for key, value in manifest.backbone.items()))),
                ("latent", f"{c}×{h}×{w}, {manifest.latent.d} channels a sub-vector"),
                ("on the edge alone", _share(manifest, manifest.local_head.metric) if manifest.local_head else "–"),
                ("fingerprint", f"`{manifest.fingerprint}`"),
                *_base(manifest),
            ],
        )
        + "\n\n```console\nartoveq serve --model .\n```"
    )


def _base(manifest: Manifest) -> list[tuple[str, str]]:
    """Weights that a server needs beside the artifact."""
    base = manifest.base
    if base is None:
        return []
    return [("base", f"{_text(base.package)} {_text(base.version)}: {_text(base.file)}, SHA-256 `{base.sha256}`")]


def _points(manifest: Manifest) -> str:
    numbered = list(enumerate(manifest.points, 1))
    step = -(-len(numbered) // MOST_ROWS)
    shown = [one for one in numbered if (len(numbered) - one[0]) % step == 0]
    rows = [(str(number), f"{p.mean_bytes:.0f}", _share(manifest, p.metric) + _how(p)) for number, p in shown]
    rows.append(("–", "unquantised", _share(manifest, manifest.unquantised_metric)))
    text = f"## What it gives for its bytes\n\n{_table(('point', 'bytes', manifest.task.metric), rows)}"
    if manifest.codec:
        files = [(c.side, c.quality, f"{c.payload_bytes:.0f}", _share(manifest, c.metric)) for c in manifest.codec]
        text += "\n\nThe picture as a WebP file, with the whole network on the server:\n\n"
        text += _table(("side", "quality", "bytes", manifest.task.metric), files)
    return text


def _how(point: OperatingPoint) -> str:
    return " (interpolated)" if point.interpolated else ""


def _share(manifest: Manifest, metric: float) -> str:
    return f"{metric:.1%}" if manifest.task.metric == "top1" else f"{metric:.2f}"


def _data(manifest: Manifest) -> str:
    names, dataset = manifest.task.classes, _text(manifest.dataset)
    tested = "some of its test pictures, drawn by the export" if manifest.task.free_text else "all of its test pictures"
    text = f"## Data\n\nTrained on the training pictures of {dataset}, and measured on {tested}."
    if 0 < len(names) <= MOST_CLASSES:
        text += f" It has {len(names)} classes: {', '.join(map(_text, names))}."
    return f"{text}\n\n### Leaks\n\n{_leaks(manifest)}"


def _leaks(manifest: Manifest) -> str:
    """What the weights that training began with may have seen of the test pictures."""
    of_picture = manifest.recipe.get("picture")  # a whole recipe, where a language model answers
    recipe = of_picture if isinstance(of_picture, Mapping) else manifest.recipe
    weights = (recipe.get("network") or {}).get("weights")
    if weights == "random":
        return "The training began with random weights, which have seen no picture."
    pretrained = PRETRAINED.get(str(weights))
    if pretrained is None:
        return "The recipe does not say which weights the training began with, nor so what they have seen."
    began = f"The training began with {pretrained}"
    if manifest.dataset in PART_OF_IMAGENET:
        return (
            f"{began}, and {_text(manifest.dataset)} is a part of ImageNet: they have probably seen most of these test "
            "pictures. Expect less on pictures of your own."
        )
    return f"{began}. Whether they have seen test pictures was not looked at."


def _result(result: Mapping[str, Any]) -> str:
    """A benchmark's figures: its numbers, then its rows."""
    figures = result["figures"]
    flat = [(key, _cell(value)) for key, value in figures.items() if isinstance(value, (int, float, str))]
    rows = [row for row in figures.get("rows", ()) if isinstance(row, dict)]
    parts = [
        f"## {_text(result['name']).capitalize()}",
        f"`{_text(result['command'])}`, at commit {_text(result['commit'])}, {_text(result['date'])}.",
        _table(("", ""), flat),
    ]
    if rows:
        heads = list(rows[0])
        parts.append(_table(heads, [[_cell(row.get(head, "")) for head in heads] for row in rows]))
    return "\n\n".join(parts)


def _licence(licence: str) -> str:
    return f"## Licence\n\n{licence or 'None is stated: ask whoever made the model before you use it.'}"


def _cell(value: Any) -> str:
    return _text(f"{value:,}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value))


def _text(text: Any) -> str:
    """A name as it stands in Markdown: no sign of it means anything there."""
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]<>()#|!~&" else sign for sign in " ".join(str(text).split()))


def _table(heads: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
