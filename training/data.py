"""Data sets: CIFAR-100, Imagewoof, easy-VQA, or any image folder, addressed as KIND:DIR; a folder needs no kind.

Before any with labels, questions: asks about them from templates, for example questions:imagewoof:DIR.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from rich.console import Console
from rich.progress import track

from training.questions import NO_ANSWER, packaged, read_questions
from training.templates import templated
from wire.exceptions import DataError, PictureError
from wire.manifest import Questions
from wire.pictures import FORMATS, Picture, pictures_in, read_picture

console = Console(stderr=True)
MAX_PIXELS = 50_000_000
"""Of a picture: a data set is its owner's own."""
SEED = 0
"""Draws pictures, where some stand for all."""
KINDS = ("imagewoof", "cifar100", "folder", "easyvqa", "questions")

IMAGEWOOF_BREEDS = {
    "n02086240": "Shih-Tzu",
    "n02087394": "Rhodesian ridgeback",
    "n02088364": "beagle",
    "n02089973": "English foxhound",
    "n02093754": "Border terrier",
    "n02096294": "Australian terrier",
    "n02099601": "golden retriever",
    "n02105641": "Old English sheepdog",
    "n02111889": "Samoyed",
    "n02115641": "dingo",
}


@dataclass(frozen=True)
class Split:
    """Pictures with labels. `sources[i]` is a file, or an RGB array where the data set is no folder.

    Where questions are asked about the pictures, labels are the answers to them: `training.questions.QuestionSet`.
    """

    classes: tuple[str, ...]
    sources: Sequence[Path | Picture]
    labels: np.ndarray  # int64, shape (N,); of answers (N, Q)
    asked: np.ndarray | None = None  # int32, shape (N, Q, longest)
    questions: Questions | None = None

    def __len__(self) -> int:
        return len(self.sources)

    def drawn(self, count: int) -> Split:
        """So many of the pictures, drawn with `SEED`, in their order."""
        return self.subset(np.sort(np.random.default_rng(SEED).permutation(len(self))[:count]))

    def picture(self, i: int) -> Picture:
        """Picture i as RGB, shape (height, width, 3)."""
        source = self.sources[i]
        return read_picture(source, max_pixels=MAX_PIXELS) if isinstance(source, Path) else source

    def subset(self, keep: np.ndarray) -> Split:
        """The pictures at the positions `keep`."""
        asked = None if self.asked is None else self.asked[keep]
        return Split(self.classes, [self.sources[i] for i in keep], self.labels[keep], asked, self.questions)

    def question(self, i: int, q: int = 0) -> str:
        """The one numbered q about picture i, in words; empty where none is asked."""
        if self.questions is None or self.asked is None:
            return ""
        return " ".join(self.questions.vocabulary[number - 1] for number in self.asked[i, q] if number)

    @property
    def answers(self) -> np.ndarray:
        """Every label, (A,): one a picture, or the answers to all questions, picture after picture."""
        found: np.ndarray = self.labels[self.labels != NO_ANSWER]
        return found


def load_split(spec: str, split: str, *, strict: bool = False) -> Split:
    """The "train" or "test" pictures of `spec`, for example "imagewoof:DIR", or a folder.

    An image folder either has DIR/train and DIR/val (or test), or DIR/CLASS alone: then every
    fifth picture, by the hash of its name, is test. CIFAR-100 is fetched to DIR where it is missing.
    "easyvqa" alone is that of the package easy-vqa, easyvqa:DIR a folder of its form; "questions:" before another data
    set asks about its classes.
    Files that are no whole picture are named, counted and left out; `strict` refuses them.

    Raises:
        DataError: if there are no pictures, or fewer than two classes, or one cannot be read and `strict`.
    """
    kind, _, directory = ("folder", "", spec) if Path(spec).is_dir() else spec.partition(":")
    if kind == "easyvqa":
        asked = read_questions(Path(directory) if directory else packaged(), split)
        return _readable(Split(asked.known.answers, asked.pictures, asked.answers, asked.asked, asked.known), strict)
    if kind == "questions" and directory:
        labelled = load_split(directory, split, strict=strict)
        if labelled.questions is not None:
            raise DataError(f"{directory} has questions already; leave out the 'questions:' before it.")
        known, numbers, answers = templated(labelled.classes, labelled.labels)
        return Split(known.answers, labelled.sources, answers, numbers, known)
    if kind not in KINDS or not directory:
        raise DataError(
            f"The data set {spec!r} is no folder, and not of the form KIND:DIR with KIND one of {', '.join(KINDS)}."
        )
    root = Path(directory)
    if kind == "cifar100" and not (root / "train").is_dir():
        return _torchvision_cifar100(root, split)
    if not root.is_dir():
        raise DataError(f"The data folder {root} does not exist; check the path after {kind!r}.")
    held_out = next((name for name in ("val", "test") if (root / name).is_dir()), None)
    if held_out and (root / "train").is_dir():
        found = _scan(root / ("train" if split == "train" else held_out))
    else:
        found = _scan(root)
        is_test = np.array([_hashed_fifth(p) for p in found.sources], bool)
        found = found.subset(np.flatnonzero(is_test == (split == "test")))
        if not len(found):
            raise DataError(f"{root} has too few pictures to set some aside for testing; add more.")
    found = _readable(found, strict)
    if kind == "imagewoof":
        found = Split(tuple(IMAGEWOOF_BREEDS.get(c, c) for c in found.classes), found.sources, found.labels)
    return found


def _scan(root: Path) -> Split:
    classes = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(classes) < 2:
        raise DataError(
            f"{root} has {len(classes)} class folder(s); put the pictures of each class into a folder of its own, "
            "two classes at least."
        )
    sources: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        files = pictures_in(root / name)
        if not files:
            raise DataError(f"The class folder {root / name} has no pictures ({FORMATS}); fill it or remove it.")
        sources += files
        labels += [label] * len(files)
    return Split(tuple(classes), sources, np.array(labels, np.int64))


def _readable(split: Split, strict: bool) -> Split:
    """The split without the pictures that cannot be read."""

    def fault(i: int) -> PictureError | None:
        try:
            split.picture(i)
        except PictureError as error:
            return error
        return None

    with ThreadPoolExecutor() as pool:
        faults = list(pool.map(fault, range(len(split))))
    bad = [error for error in faults if error is not None]
    if not bad:
        return split
    if strict:
        raise DataError(f"{bad[0]} Remove or replace it; without strictness it is left out.") from bad[0]
    for error in bad:
        console.print(f"left out: {error}", style="yellow", highlight=False, markup=False)
    console.print(f"left out: {len(bad)} of {len(split)} pictures", style="yellow")
    kept = split.subset(np.flatnonzero([error is None for error in faults]))
    if split.questions is None and len(np.unique(kept.labels)) < len(split.classes):
        raise DataError("A class has no picture that can be read; replace those that were left out.")
    return kept


def _hashed_fifth(path: Path | Picture) -> bool:
    assert isinstance(path, Path)
    return hashlib.sha256(f"{path.parent.name}/{path.name}".encode()).digest()[0] % 5 == 0


def _torchvision_cifar100(root: Path, split: str) -> Split:
    from torchvision.datasets import CIFAR100

    data = CIFAR100(str(root), train=split == "train", download=True)
    return Split(tuple(data.classes), list(data.data), np.array(data.targets, np.int64))


def hold_out(split: Split, every: int, seed: int) -> tuple[Split, Split]:
    """(kept, held out): one picture in `every`, at random, for choosing models without the test set."""
    order = np.random.default_rng(seed).permutation(len(split))
    count = len(split) // every
    return split.subset(np.sort(order[count:])), split.subset(np.sort(order[:count]))


@dataclass
class Resident:
    """A split on the training device: whole pictures squashed to squares, so that they stack.

    canvas: uint8 (N, 3, side, side); aspect: width / height (N,); labels (N,).
    """

    canvas: torch.Tensor
    aspect: torch.Tensor
    labels: torch.Tensor

    @classmethod
    def load(cls, split: Split, side: int, device: torch.device) -> Resident:
        """Decodes every picture once. Augmentation then undoes the squashing (`views`)."""
        canvas = torch.empty(len(split), 3, side, side, dtype=torch.uint8)
        aspect = torch.empty(len(split))
        for i in track(range(len(split)), description=f"reading {len(split)} pictures", transient=True):
            picture = split.picture(i)
            aspect[i] = picture.shape[1] / picture.shape[0]
            square = Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR)
            canvas[i] = torch.from_numpy(np.array(square)).permute(2, 0, 1)
        return cls(canvas.to(device), aspect.to(device), torch.from_numpy(split.labels).to(device))

    def views(
        self, rows: torch.Tensor, size: int, crop: tuple[float, float] | None, shift: float = 0.0
    ) -> torch.Tensor:
        """Square views of the pictures `rows`, float in 0..1, shape (B, 3, size, size); as `crops` draws them."""
        return self.sampled(rows, size, self.crops(rows, crop, shift))

    def crops(self, rows: torch.Tensor, crop: tuple[float, float] | None, shift: float = 0.0) -> torch.Tensor:
        """Square crops of the pictures `rows`, as affine maps (B, 2, 3) of the picture's −1..1.

        crop: range of the crop's side as a fraction of the picture's shorter side, at a random
        place; None for the plain centre crop. shift: by how much it may lie further off, as such a fraction.
        """
        b, device = len(rows), self.canvas.device
        aspect = self.aspect[rows]
        shorter = torch.stack([1 / aspect.clamp(min=1), aspect.clamp(max=1)], 1)  # of width, of height
        if crop is None:
            scale, centre = shorter, torch.zeros(b, 2, device=device)
        else:
            scale = shorter * torch.empty(b, 1, device=device).uniform_(*crop)
            centre = (torch.rand(b, 2, device=device) * 2 - 1) * ((1 - scale).abs() + 2 * shift * shorter)
        zero = torch.zeros(b, device=device)
        return torch.stack(
            [
                torch.stack([scale[:, 0], zero, centre[:, 0]], 1),
                torch.stack([zero, scale[:, 1], centre[:, 1]], 1),
            ],
            1,
        )

    def sampled(self, rows: torch.Tensor, size: int, crops: torch.Tensor) -> torch.Tensor:
        """The crops (B, 2, 3) of the pictures `rows`, float in 0..1, shape (B, 3, size, size)."""
        grid = F.affine_grid(crops, [len(rows), 3, size, size], align_corners=False)
        pictures = self.canvas[rows].float().div_(255)
        return F.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)
