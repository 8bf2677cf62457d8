"""What a codec delivers: the picture sent as a file, the same network without a quantiser on the server.

Twice: the network as stage 1 left it, and fine-tuned on training pictures compressed by the same
codec, with as many epochs as our families have after stage 1.
"""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.progress import track

from benchmarks.picture_files import write_file
from training.data import Split
from training.model import RateModel
from training.scores import scores
from training.stages import fine_tune
from training.views import Views, as_input
from wire.pictures import Picture, fit_picture

# (side as a share of the network's input, quality). Small pictures are what few bytes are best spent on.
POINTS: dict[str, tuple[tuple[float, int], ...]] = {
    "webp": ((0.5, 10), (0.5, 40), (0.5, 80), (1, 1), (1, 10), (1, 25), (1, 50), (1, 75), (1, 90)),
    "jpeg": ((0.5, 10), (0.5, 40), (0.5, 80), (1, 5), (1, 10), (1, 25), (1, 50), (1, 75), (1, 90)),
    "avif": ((0.5, 30), (0.5, 60), (1, 20), (1, 40), (1, 60)),
}


def compress(picture: Picture, codec: str, share: float, quality: int) -> tuple[Picture, int]:
    """The picture as it arrives, at its own size again, and the bytes of the whole file."""
    file = write_file(picture, codec, round(share * len(picture)), quality)
    arrived = Image.open(io.BytesIO(file)).convert("RGB").resize(picture.shape[:2], Image.Resampling.BICUBIC)
    return np.asarray(arrived), len(file)


def compressed_views(views: Views, codec: str, epochs: int, seed: int) -> Views:
    """The first `epochs` views, each picture compressed at a random one of the codec's points."""
    random, used = np.random.default_rng(seed), views.pictures[:epochs].cpu()
    arrived = torch.empty_like(used)
    for k in range(len(used)):
        for i in track(range(used.shape[1]), description=f"{codec}, view {k + 1} of {len(used)}", transient=True):
            share, quality = POINTS[codec][random.integers(len(POINTS[codec]))]
            picture, _ = compress(used[k, i].permute(1, 2, 0).contiguous().numpy(), codec, share, quality)
            arrived[k, i] = torch.from_numpy(picture.copy()).permute(2, 0, 1)
    logits = None if views.teacher_logits is None else views.teacher_logits[:epochs]
    return replace(views, pictures=arrived.to(views.pictures.device), teacher_logits=logits)


@torch.no_grad()
@torch.compiler.set_stance("force_eager")
def measure_codec(networks: dict[str, RateModel], test: Split, codec: str) -> list[dict[str, Any]]:
    """Bytes a picture and the scores of every network, per point of the codec."""
    rows: list[dict[str, Any]] = []
    one = next(iter(networks.values()))
    device = next(one.parameters()).device
    fitted = [fit_picture(test.picture(i), one.recipe.picture) for i in range(len(test))]
    for share, quality in track(POINTS[codec], description=f"{codec} on the test pictures", transient=True):
        pairs = [compress(picture, codec, share, quality) for picture in fitted]
        pictures = torch.from_numpy(np.stack([p for p, _ in pairs])).permute(0, 3, 1, 2)
        row: dict[str, Any] = {"side": round(share * one.recipe.picture), "quality": quality}
        row["payload_bytes"] = round(float(np.mean([size for _, size in pairs])), 1)
        for name, network in networks.items():
            network.eval()
            logits = torch.cat([network(as_input(p.to(device)), ()).float().cpu() for p in pictures.split(128)])
            row[name] = scores(logits.softmax(1).numpy(), test.labels).model_dump()
        rows.append(row)
    return rows


def codec_row(name: str, model: RateModel, views: Views, test: Split, runs: Path) -> list[dict[str, Any]]:
    """`model`, with stage 1 behind it, measured on the codec that the row's name has."""
    codec, recipe = name.split("/")[1], model.recipe
    as_it_is = RateModel(recipe, len(test.classes), None).to(views.labels.device)
    as_it_is.load_state_dict(model.state_dict())
    fine_tune(model, compressed_views(views, codec, recipe.stage3.epochs, recipe.stage3.seed), runs)
    rows: list[dict[str, Any]] = measure_codec({"as it is": as_it_is, "fine-tuned": model}, test, codec)
    return rows
