"""Training views: random crops of every training picture, with the teacher's answer to each, and batches of them.

K views a picture, mirrored and relit afresh at every use, serve all stages, families and seeds that share a data set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from training.questions import NO_ANSWER

QUESTIONS = 6
"""About a picture, in one step of training: it is encoded once for all of them."""


@dataclass
class Batch:
    """Pictures (B, 3, S, S) in 0..1, their labels, and the teacher's logits where there is one.

    teacher_middle: its features at the cut, (B, C, h, w), where they are learnt from.

    Labels are classes (B,) or, of mixed pictures, shares of all classes (B, classes). kept: the pictures are what
    the stem gave of them, (B, C, H, W).
    Where the task asks: questions (B, Q, longest) about each, whose answers the labels (B, Q) are.
    """

    pictures: Tensor
    labels: Tensor
    teacher_logits: Tensor | None = None
    kept: bool = False
    questions: Tensor | None = None
    teacher_middle: Tensor | None = None

    def part(self, rows: slice) -> Batch:
        """Some of the pictures."""
        logits = None if self.teacher_logits is None else self.teacher_logits[rows]
        questions = None if self.questions is None else self.questions[rows]
        return Batch(self.pictures[rows], self.labels[rows], logits, self.kept, questions)

    @property
    def further(self) -> tuple[Tensor, ...]:
        """What the decoder is given beside the latent."""
        return () if self.questions is None else (self.questions,)


@dataclass
class Views:
    """K views of N pictures, and the pictures held out for watching the training.

    pictures: uint8 (K, N, 3, S, S); labels: (N,); teacher_logits: (K, N, classes) or None;
    held_pictures: uint8 (H, 3, S, S), the plain centre crops; held_labels: (H,).
    Where the task asks, labels are (N, Q) and (H, Q), questions and held_questions (N, Q, longest) and (H, Q, longest).
    """

    pictures: Tensor
    labels: Tensor
    teacher_logits: Tensor | None
    held_pictures: Tensor
    held_labels: Tensor
    questions: Tensor | None = None
    held_questions: Tensor | None = None

    def batch(self, rows: Tensor, epoch: int, *, relit: bool = True) -> Batch:
        """One view of each picture in `rows`, half of them mirrored; with `relit` brightness and contrast changed."""
        view = (rows + epoch) % len(self.pictures)
        pictures = varied(as_input(self.pictures[view, rows]), relit=relit)
        logits = None if self.teacher_logits is None else self.teacher_logits[view, rows].float()
        if self.questions is None:
            return Batch(pictures, self.labels[rows], logits)
        labels, questions = drawn_questions(self.labels[rows], self.questions[rows])
        return Batch(pictures, labels, logits, questions=questions)

    def held_batches(self, size: int = 128) -> list[Batch]:
        """The pictures held out, as they are at inference."""
        asked = [None] * len(self.held_labels) if self.held_questions is None else self.held_questions.split(size)
        parts = zip(self.held_pictures.split(size), self.held_labels.split(size), asked, strict=False)
        return [Batch(as_input(pictures), labels, questions=questions) for pictures, labels, questions in parts]

    def state(self) -> dict[str, Any]:
        return dict(vars(self))

    def to(self, device: torch.device) -> Views:
        moved: dict[str, Any] = {k: None if v is None else v.to(device) for k, v in self.state().items()}
        return Views(**moved)


def varied(pictures: Tensor, *, relit: bool) -> Tensor:
    """Pictures (B, 3, S, S) in 0..1, half of them mirrored; with `relit` brightness and contrast changed."""
    shape, device = (len(pictures), 1, 1, 1), pictures.device
    pictures = torch.where(torch.rand(shape, device=device) < 0.5, pictures.flip(3), pictures)
    if not relit:
        return pictures
    gain = torch.empty(shape, device=device).uniform_(0.8, 1.2)
    shift = torch.empty(shape, device=device).uniform_(-0.15, 0.15)
    return ((pictures - 0.5) * gain + 0.5 + shift).clamp_(0, 1)


def drawn_questions(labels: Tensor, questions: Tensor) -> tuple[Tensor, Tensor]:
    """`QUESTIONS` of each picture's at random, or all where it has fewer: of labels (B, Q) and questions (B, Q, L)."""
    absent = labels == NO_ANSWER
    order = (torch.rand(labels.shape, device=labels.device) + absent).argsort(1)[:, :QUESTIONS]
    return labels.gather(1, order), questions.gather(1, order[..., None].expand(-1, -1, questions.shape[2]))


def as_input(pictures: Tensor) -> Tensor:
    """uint8 (B, 3, S, S) to float in 0..1, channels last in memory."""
    return pictures.to(torch.float32).div_(255).contiguous(memory_format=torch.channels_last)


def shrink(views: Tensor, size: int) -> Tensor:
    """A larger view in 0..1 to the network's input, uint8, antialiased like `wire.pictures.fit_picture`."""
    if views.shape[-1] != size:
        views = F.interpolate(views, size=size, mode="bilinear", antialias=True)
    return views.mul(255).round_().clamp_(0, 255).to(torch.uint8)


def precision(device: torch.device, *, dense: bool = False) -> torch.autocast:
    """bfloat16 on a GPU; on a CPU where convolutions are dense and it multiplies so, else it gains nothing."""
    gains = device.type == "cuda" or (dense and multiplies_bfloat16(device))
    return torch.autocast(device.type, torch.bfloat16, enabled=gains)


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether it has instructions for that."""
    on_cpu = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return device.type == "cuda" or bool(on_cpu)
