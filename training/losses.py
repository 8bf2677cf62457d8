"""What is minimised: the task, distillation, and the loss of the quantiser (eq. 2)."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from training.codebooks import Sizes
from training.codebooks.ops import at_point, from_sub_vectors
from training.model import RateModel
from training.views import Batch

SHARED_BY = {"any size": 2, "chain": 8}
"""Among so many lower points the pictures of a batch are divided; else each has all of them."""
WHOLE = {"any size": 2}
"""So many points have all pictures where lower ones share them; else the highest alone."""


def task_loss(model: RateModel, output: Tensor, batch: Batch) -> Tensor:
    """The task's own loss, mixed with distillation from the teacher (Hinton et al. 2015)."""
    loss, teacher = model.task.loss(output, batch, model.recipe.label_smoothing), model.recipe.teacher
    if teacher is None or batch.teacher_logits is None:
        return loss
    distilled = model.task.divergence(output, batch.teacher_logits, teacher.temperature)
    return (1 - teacher.weight) * loss + teacher.weight * distilled


def unquantised_loss(model: RateModel, batch: Batch) -> Tensor:
    """Stage 1: the task, and what the teacher has at the cut, where that is learnt from."""
    x = model.sub_vectors_of(batch.pictures, kept=batch.kept)
    loss = task_loss(model, model.decode(x, *batch.further).float(), batch)
    if batch.teacher_middle is None:
        return loss
    given = model.network.given(from_sub_vectors(x, model.network.latent_shape))
    return loss + model.recipe.features * unexplained(given.float(), batch.teacher_middle)


def unexplained(given: Tensor, target: Tensor) -> Tensor:
    """Share of the variance of a target (B, C, H, W), each channel about its mean, that is not met; 0 where all is."""
    return F.mse_loss(given, target) / target.var((0, 2, 3), unbiased=False).mean()


def quantised_loss(model: RateModel, batch: Batch, largest: int, replaced: float = 1.0) -> Tensor:
    """Task loss at size `largest` and at lower points, plus the VQ loss of every size so far (eq. 2).

    L = Σ_p w_p task(p) + mean_K ||sg(x) − z_K||² + β ||x − sg(z_K)||² + η Σ_k ||e_k − e_k before||²

    w_p is the share of the pictures that are decoded at point p. All decoded points are one batch, so that
    BatchNorm sees in training the mixture that it meets in evaluation.
    replaced: r, where (1 − r) x + r z is decoded in place of z.
    """
    recipe, codebook = model.recipe.codebook, model.codebook
    x = model.sub_vectors_of(batch.pictures, kept=batch.kept).float()
    trained = [size for size in codebook.drawn_sizes() if size <= largest]
    count, points = len(batch.labels), decoded_points(model, largest)
    parts = _parts(count, len(points), model.recipe.stage3.decoded)
    with torch.autocast(x.device.type, enabled=False):  # bfloat16 cannot tell near codewords apart
        z = codebook.quantise(x, sorted({*trained, *(size for point in points for size in point)}))
    # Gradients pass the quantiser straight through, but at size 1, which tells nothing of x.
    through = {
        size: x + replaced * (vectors - x).detach() if size > 1 else torch.lerp(x, vectors, replaced)
        for size, vectors in z.items()
    }
    decoded = [
        at_point(through, point, codebook.segments).unflatten(0, (count, -1))[part].flatten(0, 1)
        for point, part in zip(points, parts, strict=True)
    ]
    lengths = [len(batch.labels[part]) for part in parts]
    further = (torch.cat([one[part] for part in parts]) for one in batch.further)
    high, *low = model.decode(torch.cat(decoded), *further).float().split(lengths)
    loss = task_loss(model, high, batch)
    for output, part, length in zip(low, parts[1:], lengths[1:], strict=True):
        if length:
            loss = loss + length / count * _lower_loss(model, output, high.detach()[part], batch.part(part))
    sent = [z[size] for size in trained]
    loss = loss + torch.stack([F.mse_loss(vectors, x.detach()) for vectors in sent]).mean()
    loss = loss + recipe.beta * torch.stack([F.mse_loss(x, vectors.detach()) for vectors in sent]).mean()
    return loss + recipe.eta * codebook.moved(largest) if recipe.eta else loss


def trained_points(model: RateModel) -> list[Sizes]:
    """The points that stage 3 is for, cheapest first: the family's, or all prefixes of its chain."""
    codebook = model.codebook
    return codebook.prefixes() if model.recipe.stage3.decoded == "chain" else codebook.points()


def decoded_points(model: RateModel, largest: int) -> list[Sizes]:
    """What one step decodes: all points of sizes up to `largest`, or the highest and one lower.

    The second is the sandwich rule (Yu & Huang 2019) with two passes: the lower one is the lowest half
    of the time, else a random one; or, skewed, the ⌊n·u²⌋-th of n from below, u uniform in 0..1.
    With any size, four are lower: one size for all segments, the smallest for all, and two drawn log-uniformly.
    Every other such size is a power of two, for those have points of their own.
    Of a chain eight prefixes are lower, each drawn log-uniformly from an eighth of the range of their lengths.
    """
    *lower, highest = sorted((p for p in trained_points(model) if max(p) <= largest), key=math.prod)
    decoded = model.recipe.stage3.decoded
    if decoded == "all" or not lower:
        return [highest, *reversed(lower)]
    if decoded == "chain":
        shares = (torch.arange(SHARED_BY[decoded]) + torch.rand(SHARED_BY[decoded])) / SHARED_BY[decoded]
        return [highest, *(lower[int((len(lower) + 1) ** float(u)) - 1] for u in shares)]
    if decoded == "any size":
        segments, bits = len(model.codebook.segments), [model.codebook.bits(point) for point in lower]
        least = model.codebook.sizes[0]
        size = int(least * (largest / least) ** float(torch.rand(())))
        if torch.rand(()) < 0.5:
            size = 1 << (size.bit_length() - 1)
        drawn = [lower[bisect(bits, bits[0] * (bits[-1] / bits[0]) ** float(u)) - 1] for u in torch.rand(2)]
        return [highest, (size,) * segments, (least,) * segments, *drawn]
    if decoded == "skewed":
        return [highest, lower[int(len(lower) * float(torch.rand(())) ** 2)]]
    return [highest, lower[0] if torch.rand(()) < 0.5 else lower[int(torch.randint(len(lower), ()))]]


def _parts(count: int, points: int, decoded: str) -> list[slice]:
    """Which of `count` pictures are decoded at each point: all at the first ones, and shares of them in turn."""
    whole, shares = WHOLE.get(decoded, 1), SHARED_BY.get(decoded, 1)
    ends = [count * n // shares for n in range(shares + 1)]
    return [slice(count)] * whole + [slice(*ends[n % shares : n % shares + 2]) for n in range(points - whole)]


def segment_distortion(model: RateModel, batches: list[Batch], sizes: Sequence[int]) -> Tensor:
    """What each segment of channel groups costs at each size, (S, K).

    A second-order estimate of the loss: the mean squared gradient of the negative log-likelihood with
    respect to the segment (the diagonal of the Fisher information), times its squared quantisation error.
    """
    segments = list(model.codebook.segments)
    sensitivity, error = torch.zeros(len(segments)), torch.zeros(len(segments), len(sizes))
    for batch in batches:
        with torch.enable_grad():
            x = model.sub_vectors_of(batch.pictures, kept=batch.kept).detach().requires_grad_(True)
            loss = model.task.nll(model.decode(x, *batch.further).float(), batch).sum()
            (gradient,) = torch.autograd.grad(loss, x)
        z = model.codebook.quantise(x.detach(), sizes)
        sensitivity = sensitivity.to(x.device) + _energy(gradient, segments)
        errors = [_energy(x.detach() - z[size].detach(), segments) for size in sizes]
        error = error.to(x.device) + torch.stack(errors, 1)
    return sensitivity[:, None] * error


def _energy(vectors: Tensor, segments: list[int]) -> Tensor:
    return torch.stack([part.square().sum() for part in vectors.split(segments, 1)])


def _lower_loss(model: RateModel, output: Tensor, target: Tensor, batch: Batch) -> Tensor:
    loss, recipe = task_loss(model, output, batch), model.recipe
    if not recipe.stage3.distil:
        return loss
    temperature = recipe.teacher.temperature if recipe.teacher else 1.0
    return 0.5 * loss + 0.5 * model.task.divergence(output, target, temperature)
