"""CutMix (Yun et al. 2019): a piece of another picture in each one, and the classes of both in the label."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from training.views import Batch


def cut_mixed(batch: Batch, classes: int) -> Batch:
    """The batch with one box of each picture, or of its kept features, taken from the picture before it.

    The box has a share of the area that is uniform in 0..1, and any place. Labels become the classes' shares
    (B, classes); the teacher, who has seen no such picture, is not asked.
    """
    height, width = batch.pictures.shape[2:]
    side = (1 - float(torch.rand(()))) ** 0.5
    rows, columns = _span(height, side), _span(width, side)
    pictures, labels = batch.pictures.clone(), F.one_hot(batch.labels, classes).float()
    pictures[:, :, rows, columns] = batch.pictures.roll(1, 0)[:, :, rows, columns]
    taken = (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
    shares = (1 - taken) * labels + taken * labels.roll(1, 0)
    return replace(batch, pictures=pictures, labels=shares, teacher_logits=None, teacher_middle=None)


def _span(length: int, share: float) -> slice:
    """A random run of that share of 0..length, cut where it goes over an end."""
    middle, half = float(torch.rand(())) * length, share * length / 2
    return slice(max(0, round(middle - half)), min(length, round(middle + half)))
