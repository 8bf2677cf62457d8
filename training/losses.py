"""What is minimised: the task, distillation, and the loss of the quantiser (eq. 2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.allocation import Allocation
from training.codebooks import at_allocation
from training.model import RateModel
from training.recipe import Recipe
from training.views import Batch


def task_loss(logits: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
    """Cross-entropy with label smoothing, mixed with distillation from the teacher (Hinton et al. 2015)."""
    loss = F.cross_entropy(logits, batch.labels, label_smoothing=recipe.label_smoothing)
    if recipe.teacher is None or batch.taught is None:
        return loss
    taught = distillation(logits, batch.taught, recipe.teacher.temperature)
    return (1 - recipe.teacher.weight) * loss + recipe.teacher.weight * taught


def distillation(logits: Tensor, target: Tensor, temperature: float) -> Tensor:
    """Kullback–Leibler divergence from softened targets, scaled by temperature²."""
    log_p = F.log_softmax(logits / temperature, 1)
    log_q = F.log_softmax(target / temperature, 1)
    return F.kl_div(log_p, log_q, reduction="batchmean", log_target=True) * temperature**2


def unquantised_loss(model: RateModel, batch: Batch) -> Tensor:
    """Stage 1: the task alone."""
    return task_loss(model.decode(model.sub_vectors_of(batch.pictures)).float(), batch, model.recipe)


def quantised_loss(model: RateModel, batch: Batch, top: int) -> Tensor:
    """Task loss at level `top` and at lower ones, plus the VQ loss of every level so far (eq. 2).

    All decoded levels are one batch, so that BatchNorm sees in training the mixture that it meets in
    evaluation.
    """
    recipe = model.recipe
    x = model.sub_vectors_of(batch.pictures).float()
    levels = [level for level in model.codebook.levels if level <= top]
    chosen = decoded_allocations(model, top)
    with torch.autocast(x.device.type, enabled=False):  # bfloat16 cannot tell near codewords apart
        z = model.codebook.quantise(x, sorted({*levels, *(level for a in chosen for level in a)}))
    # Gradients pass the quantiser straight through, but at level 0, which tells nothing of x.
    through = {level: x + (vectors - x).detach() if level else vectors for level, vectors in z.items()}
    passed = [at_allocation(through, a) for a in chosen]
    logits = model.decode(torch.cat(passed)).float()
    high, *low = logits.split(len(batch.labels))
    loss = task_loss(high, batch, recipe)
    for one in low:
        loss = loss + _lower_loss(one, high.detach(), batch, recipe)
    sent = [z[level] for level in levels]
    codebook = torch.stack([F.mse_loss(vectors, x.detach()) for vectors in sent]).mean()
    commitment = torch.stack([F.mse_loss(x, vectors.detach()) for vectors in sent]).mean()
    return loss + codebook + recipe.codebook.beta * commitment + recipe.codebook.eta * model.codebook.moved(top)


def decoded_allocations(model: RateModel, top: int) -> list[Allocation]:
    """What one step decodes: all rates up to level `top`, or the highest and one lower.

    The second is the sandwich rule (Yu & Huang 2019) with two passes: the lower one is the lowest half
    of the time, else a random one.
    """
    highest, *lower = sorted((a for a in model.allocations() if max(a) <= top), key=sum, reverse=True)
    if model.recipe.stage3.decoded == "all" or not lower:
        return [highest, *lower]
    return [highest, lower[-1] if torch.rand(()) < 0.5 else lower[int(torch.randint(len(lower), ()))]]


def segment_distortion(model: RateModel, batches: list[Batch]) -> Tensor:
    """Mixed resolution: what each segment of channels costs at each level, (segments, 1 + levels).

    A second-order estimate of the loss: the mean squared gradient of the cross-entropy with respect to
    the segment (the diagonal of the Fisher information), times its squared quantisation error.
    """
    segments, levels = model.recipe.codebook.segments, (0, *model.codebook.levels)
    sensitivity, error = 0.0, 0.0
    for batch in batches:
        x = model.sub_vectors_of(batch.pictures).detach().requires_grad_(True)
        loss = F.cross_entropy(model.decode(x).float(), batch.labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, x)
        z = model.codebook.quantise(x.detach(), levels)
        sensitivity = sensitivity + _energy(gradient, segments)
        error = error + torch.stack([_energy(x.detach() - z[level].detach(), segments) for level in levels], 1)
    assert isinstance(sensitivity, Tensor) and isinstance(error, Tensor)
    return sensitivity[:, None] * error


def _energy(vectors: Tensor, segments: int) -> Tensor:
    return torch.stack([part.square().sum() for part in vectors.tensor_split(segments, 1)])


def _lower_loss(logits: Tensor, target: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
    loss = task_loss(logits, batch, recipe)
    if not recipe.stage3.distil:
        return loss
    temperature = recipe.teacher.temperature if recipe.teacher else 1.0
    return 0.5 * loss + 0.5 * distillation(logits, target, temperature)
