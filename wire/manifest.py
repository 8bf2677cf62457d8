"""manifest.json: what a model is, its operating points, and what each of them costs and gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from wire.exceptions import PointError
from wire.mixed_radix import radix_bytes

FORMAT_VERSION = 2
MANIFEST = "manifest.json"
ENCODER = "encoder.onnx"
DECODER = "decoder.onnx"
TORCH_DECODER = "decoder.pt2"
INT8_DECODER = "decoder-int8.onnx"
ADAPTERS, LAYER, WORDS = "adapters.pt2", "layer.pt2", "words.pt2"
"""Where answers are free text: what was trained of the language model, one of its layers, and its end."""
TABLES = "entropy.u16"
"""Where payloads are entropy-coded: probabilities of bits (`wire.entropy`), or counts of indices (`wire.folded`)."""
LOCAL_LOGITS = "local_logits"
"""The output of the encoder that is the edge's own answer, where the manifest has a `local_head`."""
QUESTION_ANSWERING = "question answering"
"""The task whose manifests have `questions` or `free_text`."""
LARGEST_SIZE = 65536
MOST_SUB_VECTORS = 1 << 16
MOST_SIZES = 1 << 23
"""Points times sub-vectors; more would take seconds to check."""


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError("a name has characters that cannot be printed")
    return name


Name = Annotated[str, Field(max_length=256), AfterValidator(_printable)]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256."""
Metric = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""In its own unit, which the task's name for it says: a share for top1, dB for psnr; more is better."""
Sizes = Annotated[tuple[int, ...], Field(min_length=1, max_length=256)]
"""One integer for each segment, or for some."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Preprocessing(_Strict):
    """How a picture becomes the encoder's input; everything after that is inside encoder.onnx."""

    size: int = Field(ge=1, le=4096)
    colour: Literal["RGB"] = "RGB"
    resize: Literal["shorter side, bilinear, antialiased, centre crop"] = (
        "shorter side, bilinear, antialiased, centre crop"
    )


class Latent(_Strict):
    """The encoder's output after normalisation: shape (C, H, W), in sub-vectors of d channels."""

    shape: tuple[int, int, int]
    d: int = Field(ge=1, le=1 << 20)

    @property
    def groups(self) -> int:
        """Channel groups G = C / d."""
        return self.shape[0] // self.d

    @property
    def positions(self) -> int:
        """H · W."""
        return self.shape[1] * self.shape[2]


class OperatingPoint(_Strict):
    """A codebook size for each segment, what it costs, and what it gives on the whole test set."""

    sizes: Sizes
    payload_bytes: int = Field(ge=1)
    """Packed."""
    coded_bytes: float | None = None
    """The mean over the test set, entropy-coded as one string; None where the model has no tables."""
    metric: Metric
    temperature: float = Field(1.0, gt=0)
    """Divides the logits, so that of the answers at p % sure about p % are right (Guo et al. 2017)."""
    interpolated: bool = False
    """The metric lies between those of measured points, and was not measured."""

    @property
    def mean_bytes(self) -> float:
        """What is sent on average."""
        return float(self.payload_bytes) if self.coded_bytes is None else self.coded_bytes


class LocalHead(_Strict):
    """Point 0: what the edge itself answers, `LOCAL_LOGITS` of encoder.onnx, on the whole test set. No byte is sent."""

    metric: Metric
    temperature: float = Field(1.0, gt=0)
    """As a point's."""


class Plane(_Strict):
    """A link of the chain: one further bit for each sub-vector of these segments (numbered from 0)."""

    segments: Sizes
    payload_bytes: int = Field(ge=1)


Word = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9'-]{0,62}[a-z0-9])?$")]


class Questions(_Strict):
    """What a model reads of a question, and how it may answer."""

    vocabulary: tuple[Word, ...] = Field(min_length=1, max_length=1 << 14)
    """Numbered from 1; 0 stands behind a question's last word."""
    longest: int = Field(ge=1, le=256)
    """Words of the longest question."""
    answers: tuple[Name, ...] = Field(min_length=1, max_length=1 << 14)

    @model_validator(mode="after")
    def _consistent(self) -> Questions:
        for what, entries in (("word", self.vocabulary), ("answer", self.answers)):
            if len(set(entries)) < len(entries):
                raise ValueError(f"a {what} is listed twice")
        return self

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Of the words."""
        return {word: number for number, word in enumerate(self.vocabulary, 1)}


class FreeText(_Strict):
    """Where questions and answers are any text: a language model reads and says them, token after token."""

    longest: int = Field(ge=1, le=512)
    """Tokens of the longest answer."""


class Task(BaseModel):
    """What an answer is. Further keys are the task's own."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: Name
    metric: Name
    classes: tuple[Name, ...] = Field((), max_length=1 << 16)
    questions: Questions | None = None
    """Where an answer is one of several to a question about the picture."""
    free_text: FreeText | None = None
    """Where an answer is a text of its own."""

    @property
    def asks(self) -> bool:
        """Whether answers are those to a question."""
        return self.questions is not None or self.free_text is not None

    @property
    def names(self) -> tuple[Name, ...]:
        """Of what each number of an output is the probability of; none where outputs are something else."""
        return self.classes if self.questions is None else self.questions.answers


class Base(_Strict):
    """Large weights that the server's half takes as inputs, from a file of a Python package (`wire.base`)."""

    package: Name
    version: Name
    file: Name
    """From where packages are installed."""
    sha256: Hash
    tensors: Annotated[tuple[Name, ...], Field(max_length=1 << 12)] = ()
    """Those of the decoder's inputs that are bound to the file's tensors, by their names, in order."""


class CodecFigures(_Strict):
    """What the picture costs and gives as a WebP file, with both halves on the server, on the whole test set."""

    side: int = Field(ge=1, le=4096)
    quality: int = Field(ge=0, le=100)
    payload_bytes: float
    metric: Metric


class Manifest(_Strict):
    """manifest.json. `fingerprint` is the SHA-256 of all the rest, so it names the model."""

    format_version: int
    name: Name
    profile: Name
    family: Name
    dataset: Name
    latent: Latent
    segments: Sizes
    """Channel groups of each segment, in order."""
    largest_size: int = Field(ge=2, le=LARGEST_SIZE)
    any_size: bool = False
    """Whether sizes need not be powers of two."""
    points: tuple[OperatingPoint, ...] = Field(min_length=1, max_length=1 << 14)
    """Numbered from 1, cheapest first."""
    planes: tuple[Plane, ...] = Field((), max_length=1 << 12)
    """The chain: its first n planes are a point, for every n. Empty where the model is not refinable."""
    local_head: LocalHead | None = None
    """Where the edge has an answer of its own."""
    task: Task
    backbone: dict[str, Any]
    preprocessing: Preprocessing
    unquantised_metric: Metric
    codec: tuple[CodecFigures, ...] = Field((), max_length=256)
    recipe: dict[str, Any]
    files: dict[FileName, Hash] = Field(max_length=64)
    """SHA-256 of every other file, by name."""
    base: Base | None = None
    fingerprint: Hash

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        c, h, w = self.latent.shape
        if c % self.latent.d or min(self.latent.shape) < 1 or c * h * w // self.latent.d > MOST_SUB_VECTORS:
            raise ValueError(f"a latent of {c}×{h}×{w} is not made of sub-vectors of {self.latent.d} channels")
        if sum(self.segments) != self.latent.groups or min(self.segments) < 1:
            raise ValueError(f"the segments {self.segments} do not share {self.latent.groups} channel groups")
        if len(self.points) * self.sub_vectors > MOST_SIZES:
            raise ValueError(f"{len(self.points)} points of {self.sub_vectors} sub-vectors are too many")
        for number, point in enumerate(self.points, 1):
            self._check_point(number, point)
        if self.local_head is not None and not self.task.classes:
            raise ValueError(f"a local head answers with a class, and the task {self.task.name} has none")
        forms = sum(form is not None for form in (self.task.questions, self.task.free_text))
        if forms != (self.task.name == QUESTION_ANSWERING):
            raise ValueError(
                f"a manifest has one of `questions` and `free_text` where its task is {QUESTION_ANSWERING!r}, and only "
                "there"
            )
        if self.task.free_text is not None and self.base is None:
            raise ValueError("a model that answers in free text has a base, which is its language model")
        costs = [point.payload_bytes for point in self.points]
        if costs != sorted(costs):
            raise ValueError("the points are not in the order of their bytes, cheapest first")
        _ = self.chain
        return self

    def _check_point(self, number: int, point: OperatingPoint) -> None:
        sizes, largest = point.sizes, self.largest_size
        if len(sizes) != len(self.segments):
            raise ValueError(f"point {number} has {len(sizes)} sizes for {len(self.segments)} segments")
        if not all(1 <= size <= largest for size in sizes) or max(sizes) < 2:
            raise ValueError(f"point {number} has the sizes {sizes}, and this family's are from 1 to {largest}")
        if not self.any_size and not powers_of_two(sizes):
            raise ValueError(f"point {number} has the sizes {sizes}, and this family's are powers of two")
        expected = block_bytes(self.sub_vectors_of_segments, sizes)
        if point.payload_bytes != expected:
            raise ValueError(f"point {number} takes {expected} bytes, not {point.payload_bytes}")

    @property
    def sub_vectors(self) -> int:
        """M, of one picture."""
        return self.latent.groups * self.latent.positions

    @property
    def sub_vectors_of_segments(self) -> tuple[int, ...]:
        """M_s, of one picture."""
        return tuple(groups * self.latent.positions for groups in self.segments)

    @property
    def refinable(self) -> bool:
        """Whether the payload may come plane by plane."""
        return bool(self.planes)

    @cached_property
    def chain(self) -> tuple[int, ...]:
        """The number of the point that the first n planes are, for n = 1, 2, …"""
        numbers = {point.sizes: number for number, point in enumerate(self.points, 1)}
        sizes, found = [1] * len(self.segments), []
        for n, plane in enumerate(self.planes, 1):
            if not all(0 <= s < len(sizes) for s in plane.segments) or len(set(plane.segments)) < len(plane.segments):
                raise ValueError(f"plane {n} refines segments {plane.segments}, which are not segments of this model")
            bits = sum(self.sub_vectors_of_segments[s] for s in plane.segments)
            if plane.payload_bytes != (bits + 7) // 8:
                raise ValueError(f"plane {n} takes {(bits + 7) // 8} bytes, not {plane.payload_bytes}")
            for s in plane.segments:
                sizes[s] *= 2
            number = numbers.get(tuple(sizes))
            if number is None:
                raise ValueError(f"the first {n} planes have the sizes {tuple(sizes)}, which are no point")
            found.append(number)
        return tuple(found)

    @property
    def levels(self) -> dict[int, int]:
        """The points where K = 2^l for all segments: their numbers, by level l."""
        found = {}
        for number, point in enumerate(self.points, 1):
            if len(set(point.sizes)) == 1 and powers_of_two(point.sizes):
                found[point.sizes[0].bit_length() - 1] = number
        return found

    @property
    def edge_files(self) -> tuple[str, ...]:
        """The files that an edge needs."""
        return (ENCODER, TABLES) if TABLES in self.files else (ENCODER,)

    def point(self, number: int) -> OperatingPoint:
        """Operating point `number`, from 1.

        Raises:
            PointError: if the model does not have it.
        """
        if not 1 <= number <= len(self.points):
            raise PointError(f"Point {number} does not exist; the points of {self.name} are 1 to {len(self.points)}.")
        return self.points[number - 1]

    def point_of_level(self, level: int) -> int:
        """The number of the point where K = 2^level for all segments.

        Raises:
            PointError: if the model does not have it.
        """
        levels = self.levels
        if level not in levels:
            known = ", ".join(map(str, levels)) or "none"
            raise PointError(f"Level {level} does not exist; {self.name} has level {known}.")
        return levels[level]

    def point_within(self, payload_bytes: int) -> int:
        """The number of the best point of at most so many packed bytes; of the cheapest one, where all take more.

        Where a model takes any size, its points are the best for their bytes: the one that takes the most.
        """
        fitting = [(n, point) for n, point in enumerate(self.points, 1) if point.payload_bytes <= payload_bytes]
        if self.any_size:
            return max(fitting, key=lambda each: (each[1].payload_bytes, each[1].metric), default=(1, None))[0]
        return max(fitting, key=lambda each: (each[1].metric, -each[0]), default=(1, None))[0]


def powers_of_two(sizes: Sequence[int]) -> bool:
    """Whether all are: then bits are sent."""
    return all(size & (size - 1) == 0 for size in sizes)


def block_bytes(sub_vectors: Sequence[int], sizes: Sequence[int]) -> int:
    """Packed bytes of a point whose segments have so many sub-vectors (S,) and these sizes (S,)."""
    if not powers_of_two(sizes):
        return radix_bytes(math.prod(size**m for m, size in zip(sub_vectors, sizes, strict=True)))
    planes = range(1, max(sizes).bit_length())
    return sum((sum(m for m, k in zip(sub_vectors, sizes, strict=True) if k >= 2**p) + 7) // 8 for p in planes)
