"""Point 0: the edge's own answer, by a small head on the unquantised latent, in the same encoder.onnx.

picture ─ encoder ─ sub-vectors ┬─ nearest codewords ─────────────────────▶ indices
                                └─ 3×3 conv ─ 3×3 conv ─ mean ─ linear ──▶ local_logits

The rest of the network is done when the head is trained, and stays as it is.
"""

from __future__ import annotations

import onnx
import onnxruntime as ort
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from training.cameras import as_poor_cameras
from training.codebooks.ops import from_sub_vectors
from training.data import Resident, Split, hold_out
from training.program import save_onnx
from training.recipe import LocalHeadRecipe
from training.splice import before_quantiser, branched
from training.views import shrink
from wire.artifact import Artifact
from wire.exceptions import UsageError
from wire.manifest import ENCODER, LOCAL_LOGITS, Manifest

BATCH = 64
LEAST_STEPS = 300
"""Few pictures have more epochs than the recipe says."""
OVERSAMPLED = 2
"""Crops are taken at so many times the encoder's side and shrunk, as pictures are at inference."""
console = Console(stderr=True)


class LocalHead(nn.Module):
    """Sub-vectors (N, G, d) of a latent (C, H, W) to logits (B, classes)."""

    def __init__(self, shape: tuple[int, int, int], classes: int, channels: tuple[int, int]) -> None:
        super().__init__()
        first, second = channels
        self.shape = shape
        self.layers = nn.Sequential(
            nn.Conv2d(shape[0], first, 3, padding=1, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, padding=1, bias=False),
            nn.BatchNorm2d(second),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(second, classes),
        )

    def forward(self, vectors: Tensor) -> Tensor:
        logits: Tensor = self.layers(from_sub_vectors(vectors, self.shape))
        return logits


def check_answers(manifest: Manifest) -> None:
    """Raises UsageError where a head could not answer."""
    if not manifest.task.classes:
        raise UsageError(f"{manifest.name} tells no classes apart, so its edge cannot answer with one.")


def latents(artifact: Artifact, train: Split, views: int) -> tuple[Tensor, Tensor]:
    """Sub-vectors (V, N, H·W·G·d) of V random crops, half mirrored, of each of N training pictures; labels (N,).

    The pictures that were held out from the artifact's training stay out; crops and cameras are as there.
    """
    manifest, recipe = artifact.manifest, artifact.manifest.recipe
    graph, name = before_quantiser(artifact.read(ENCODER))
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    kept, _ = hold_out(train, recipe["hold_out_every"], recipe["seed"])
    size, crop = manifest.preprocessing.size, tuple(recipe["crop"])
    shift, camera = recipe.get("shift", 0.0), recipe.get("camera", 0.0)
    side = OVERSAMPLED * size
    data = Resident.load(kept, max(side, round(side / crop[0] * 0.75)), torch.device("cpu"))
    found = torch.empty(views, len(kept), manifest.sub_vectors * manifest.latent.d)
    for view in track(range(views), description="latents", console=console, transient=True):
        for rows in torch.arange(len(kept)).split(BATCH):
            pictures = data.views(rows, side, crop, shift)
            pictures = torch.where(torch.rand(len(rows), 1, 1, 1) < 0.5, pictures.flip(3), pictures)
            shrunk = shrink(pictures, size)
            if camera:
                shrunk = as_poor_cameras(shrunk / 255, camera).mul(255).round().to(torch.uint8)
            given = shrunk.permute(0, 2, 3, 1).contiguous()
            (vectors,) = session.run([name], {"picture": given.numpy()})
            found[view, rows] = torch.from_numpy(vectors).reshape(len(rows), -1)
    return found, data.labels


def train_head(
    manifest: Manifest, vectors: Tensor, labels: Tensor, recipe: LocalHeadRecipe, smoothing: float
) -> LocalHead:
    """A head for sub-vectors (V, N, H·W·G·d) of pictures with labels (N,): AdamW, one cosine cycle."""
    latent = manifest.latent
    head = LocalHead(latent.shape, len(manifest.task.classes), recipe.channels)
    per_epoch = max(1, len(labels) // BATCH)
    steps = max(recipe.epochs * per_epoch, LEAST_STEPS)
    optimiser = torch.optim.AdamW(head.parameters(), recipe.rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, total_steps=steps)
    for step in track(range(steps), description="head", console=console, transient=True):
        epoch, at = divmod(step, per_epoch)
        if not at:
            order = torch.randperm(len(labels))
        rows = order[at * BATCH : (at + 1) * BATCH]
        x = vectors[(rows + epoch) % len(vectors), rows].reshape(-1, latent.groups, latent.d)
        loss = F.cross_entropy(head(x), labels[rows], label_smoothing=smoothing)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return head.eval()


def spliced(encoder: bytes, head: LocalHead, manifest: Manifest) -> bytes:
    """encoder.onnx with a further output, `LOCAL_LOGITS` (B, classes); in place of the one it may have."""
    latent = manifest.latent
    example = torch.zeros(2 * latent.positions, latent.groups, latent.d)
    axes = ({0: latent.positions * torch.export.Dim("batch")},)
    return branched(encoder, onnx.load_from_string(save_onnx(head, (example,), ["vectors"], LOCAL_LOGITS, axes)))


def with_local_head(artifact: Artifact, train: Split, recipe: LocalHeadRecipe) -> bytes:
    """The artifact's encoder.onnx with a head that was trained on `train`.

    Raises:
        UsageError: if the task has no classes.
    """
    check_answers(artifact.manifest)
    torch.manual_seed(recipe.seed)
    vectors, labels = latents(artifact, train, recipe.views)
    smoothing = float(artifact.manifest.recipe["label_smoothing"])
    return spliced(
        artifact.read(ENCODER), train_head(artifact.manifest, vectors, labels, recipe, smoothing), artifact.manifest
    )
