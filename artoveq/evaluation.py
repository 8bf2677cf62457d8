"""What an artifact delivers, measured through the parts that ship: encoder.onnx, payloads, the server's decoder."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from artoveq.judging import Judge, judge
from artoveq.processes import server_process
from edge_client import AsyncClient, Encoder, OneShot
from edge_client.codec import POINTS, write_webp
from inference_server.decoder import OnnxDecoder
from inference_server.encoder import PictureEncoder
from training.data import Split, hold_out
from training.scores import fit_temperature, perplexity, scores
from training.tasks import TASKS
from training.views import Batch, as_input
from wire.artifact import Artifact
from wire.entropy import count_tables
from wire.exceptions import DataError, UsageError
from wire.folded import as_rows, count_rows, folded_bytes
from wire.manifest import Manifest
from wire.payload import Indices, PayloadCodec
from wire.pictures import Picture, open_picture
from wire.questions import Question

BATCH = 64
IN_FLIGHT = 32
SAMPLE_BATCHES = 16
"""Batches whose codewords are counted."""
TABLE_PICTURES = 2048
SPOKEN_PICTURES = 100
"""Test pictures that a model which answers in free text is asked about: it says an answer word by word."""
console = Console(stderr=True)

Outputs = NDArray[np.float32]


def evaluate(artifact: Artifact, split: Split) -> list[dict[str, Any]]:
    """Per point, over all pictures of the split, in this process: `point`, `sizes`, `payload_bytes` (packed), the mean
    of `coded_bytes` (None without tables), the task's metric by its name, of classes and of answers to questions all
    scores (top5, nll, ece beside it), of a reconstruction ssim, and the codewords' `perplexity`. Interpolated points
    are left out.

    Raises:
        DataError: if the data set has other classes than the artifact.
    """
    check_classes(artifact, split)
    encoder, decoder, manifest = Encoder(artifact), OnnxDecoder(artifact), artifact.manifest
    codec, points = encoder.codec, measured(manifest)
    found = {point: Figures(manifest) for point in points}
    sent: dict[int, list[int]] = {point: [] for point in points}
    sample: dict[int, list[Indices]] = {point: [] for point in points}
    for part, pictures in zip(parts(split), fitted(encoder, split), strict=True):
        for point, encoded in encoded_at(encoder, pictures, points):
            payloads = [codec.write_block(one, point) for one in encoded]
            arrived = np.stack([codec.read_block(*payload, point) for payload in payloads])
            found[point].add(decoded(decoder, codec, arrived, point, part.asked), pictures, part.answers)
            sent[point] += [len(data) for data, _ in payloads]
            if len(sample[point]) < SAMPLE_BATCHES:
                sample[point].append(encoded)
    return [
        {
            "point": point,
            "sizes": list(manifest.point(point).sizes),
            "payload_bytes": manifest.point(point).payload_bytes,
            "coded_bytes": round(float(np.mean(sent[point])), 3) if codec.coder else None,
            **found[point].all(),
            "perplexity": perplexity(np.concatenate(sample[point]).reshape(-1, manifest.latent.groups)),
        }
        for point in points
    ]


class Figures:
    """How good a model's answers are, batch after batch: of probabilities all scores, else what the task measures."""

    def __init__(self, manifest: Manifest) -> None:
        self._task, self._probable = TASKS[manifest.task.name], bool(manifest.task.names)
        self._outputs: list[Outputs] = []
        self._labels: list[NDArray[np.integer]] = []
        self._totals: Counter[str] = Counter()

    def add(self, outputs: Outputs, pictures: Picture, labels: NDArray[np.integer]) -> None:
        """outputs (A, …) for fitted pictures (B, S, S, 3) with labels (A,): one each, or one for each question."""
        self._labels.append(labels)
        if self._probable:
            self._outputs.append(outputs)
            return
        found = self._task.figures(torch.from_numpy(outputs), batch_of(pictures, labels))
        self._totals.update({name: float(values.sum()) for name, values in found.items()})

    def all(self) -> dict[str, float]:
        """By name, the task's metric among them."""
        labels = np.concatenate(self._labels)
        if self._probable:
            found = scores(np.concatenate(self._outputs), labels).model_dump()
            return {self._task.metric: found.pop("top1"), **found}
        return {name: round(total / len(labels), 6) for name, total in self._totals.items()}


def batch_of(pictures: Picture, labels: NDArray[np.integer]) -> Batch:
    """Fitted pictures (B, S, S, 3) with labels (B,), as tasks score answers to them."""
    return Batch(as_input(torch.from_numpy(pictures).permute(0, 3, 1, 2)), torch.from_numpy(labels), None)


def encoded_at(encoder: Encoder, pictures: Picture, points: Sequence[int]) -> Iterator[tuple[int, Indices]]:
    """Each point with the indices (B, M) of fitted pictures (B, S, S, 3); encoded once, where prefixes are points."""
    finest = encoder.encode_batch(pictures, encoder.finest) if encoder.manifest.refinable else None
    for point in points:
        if finest is None:
            yield point, encoder.encode_batch(pictures, point)
        else:
            yield point, encoder.codec.at_point(finest, point)


def fitted(encoder: Encoder, split: Split) -> Iterator[Picture]:
    """The pictures of a split at the encoder's size, in batches (B, S, S, 3)."""
    starts = range(0, len(split), BATCH)
    for start in track(starts, description="measuring", console=console, transient=True):
        rows = range(start, min(start + BATCH, len(split)))
        yield np.stack([encoder.fit(split.picture(i)) for i in rows])


def parts(split: Split) -> Iterator[Split]:
    """The pictures of a split in the batches in which `fitted` yields them."""
    for start in range(0, len(split), BATCH):
        yield split.subset(np.arange(start, min(start + BATCH, len(split))))


def decoded(
    decoder: OnnxDecoder, codec: PayloadCodec, indices: Indices, point: int, asked: Question | None = None
) -> Outputs:
    """Indices (B, M), all of one point, to the answers (B, …).

    asked: questions about each (B, Q, longest), where no question is all 0; then answers are one for each (A, …).
    """
    if asked is not None:
        present = asked.any(2)
        indices, asked = indices[np.nonzero(present)[0]], asked[present]
    count = len(indices)
    return decoder.decode(indices, np.tile(codec.sizes(point), (count, 1)), np.full(count, point), asked)


def measured(manifest: Manifest) -> list[int]:
    """The points that are not interpolated."""
    return [number for number, point in enumerate(manifest.points, 1) if not point.interpolated]


def streamed(manifest: Manifest) -> list[int]:
    """The points that a server is asked at: of any size, which are hundreds, those of one size for all segments."""
    points = measured(manifest)
    return [n for n in points if len({*manifest.point(n).sizes}) == 1] if manifest.any_size else points


def answered(artifact: Artifact, split: Split) -> dict[int, Outputs]:
    """Per point that is not interpolated, the answers (A, classes) for all pictures of the split, in this process."""
    encoder, decoder = Encoder(artifact), OnnxDecoder(artifact)
    found: dict[int, list[Outputs]] = {point: [] for point in measured(artifact.manifest)}
    for part, pictures in zip(parts(split), fitted(encoder, split), strict=True):
        for point, indices in encoded_at(encoder, pictures, list(found)):
            found[point].append(decoded(decoder, encoder.codec, indices, point, part.asked))
    return {point: np.concatenate(rows) for point, rows in found.items()}


def temperatures(artifact: Artifact, train: Split) -> dict[int, float]:
    """Per point that is not interpolated, fitted on the training pictures that this artifact was not trained on; its
    own must be 1.

    They are of probabilities: 1, where answers have none.
    """
    held = held_out(artifact.manifest, train)
    if not len(held) or not artifact.manifest.task.names:
        return dict.fromkeys(measured(artifact.manifest), 1.0)
    return {point: fit_temperature(rows, held.answers) for point, rows in answered(artifact, held).items()}


def held_out(manifest: Manifest, train: Split) -> Split:
    """The training pictures that a model was not trained on."""
    return hold_out(train, manifest.recipe["hold_out_every"], manifest.recipe["seed"])[1]


def local_figures(artifact: Artifact, train: Split, test: Split) -> dict[str, float]:
    """What the manifest says of a local head: its metric on `test`, and the temperature that was fitted as others are.

    The artifact's own temperature of it must be 1.
    """
    held, temperature = held_out(artifact.manifest, train), 1.0
    if len(held):
        temperature = fit_temperature(locally_answered(artifact, held), held.labels)
    return {"metric": scores(locally_answered(artifact, test), test.labels).top1, "temperature": temperature}


def locally_answered(artifact: Artifact, split: Split) -> Outputs:
    """The edge's own answers (N, classes) for all pictures of the split.

    Raises:
        PointError: if the model has no local head.
        DataError: if the data set has other classes than the artifact.
    """
    check_classes(artifact, split)
    encoder = Encoder(artifact)
    return np.concatenate([encoder.answer_batch(pictures)[1] for pictures in fitted(encoder, split)])


def codec_figures(artifact: Artifact, split: Split) -> list[dict[str, Any]]:
    """Per point of `edge_client.codec`: side, quality, mean payload_bytes and metric, with both halves here."""
    encoder, decoder, manifest = Encoder(artifact), OnnxDecoder(artifact), artifact.manifest
    server = PictureEncoder(artifact, threads=0)
    best, rows = len(manifest.points), []
    pictures = np.concatenate(list(fitted(encoder, split)))
    for share, quality in track(POINTS, description="WebP", console=console, transient=True):
        side, found, sent = round(share * manifest.preprocessing.size), Figures(manifest), 0
        for number, part in enumerate(parts(split)):
            these = pictures[number * BATCH :][:BATCH]
            files = [write_webp(picture, side, quality) for picture in these]
            indices = np.stack([server.encode(open_picture(file), best) for file in files])
            found.add(decoded(decoder, encoder.codec, indices, best, part.asked), these, part.answers)
            sent += sum(map(len, files))
        metric = found.all()[manifest.task.metric]
        rows.append({"side": side, "quality": quality, "payload_bytes": round(sent / len(split), 1), "metric": metric})
    return rows


def entropy_tables(artifact: Artifact, train: Split) -> bytes:
    """The file that `wire.entropy` reads, counted on training pictures evenly drawn from `train`."""
    encoder, manifest = Encoder(artifact), artifact.manifest
    highest, segments = (manifest.largest_size - 1).bit_length(), len(manifest.segments)
    levels = (highest,) if manifest.refinable else range(1, highest + 1)
    found: dict[int, list[Indices]] = {level: [] for level in levels}
    for pictures in fitted(encoder, _few(train)):
        for level, parts in found.items():
            parts.append(encoder.encode_sizes(pictures, np.full(segments, 2**level, np.int32)))
    counted = {level: np.concatenate(parts) for level, parts in found.items()}
    return count_tables(counted, manifest.latent.groups).astype("<u2").tobytes()


def folded_tables(artifact: Artifact, train: Split, codewords: NDArray[np.floating]) -> bytes:
    """The file that `wire.folded` reads: how often each codeword (G, L, d) is chosen, as in `entropy_tables`."""
    return folded_bytes(largest_counts(artifact, train), as_rows(codewords))


def largest_counts(artifact: Artifact, train: Split) -> NDArray[np.uint16]:
    """How often each codeword of the largest size is chosen on training pictures, as `count_rows` has it: (G, L)."""
    encoder, manifest = Encoder(artifact), artifact.manifest
    finest = np.full(len(manifest.segments), manifest.largest_size, np.int32)
    found = np.concatenate([encoder.encode_sizes(pictures, finest) for pictures in fitted(encoder, _few(train))])
    return count_rows(found, manifest.latent.groups, manifest.largest_size)


def _few(train: Split) -> Split:
    """Training pictures whose codewords are counted."""
    return train.subset(np.random.default_rng(0).permutation(len(train))[:TABLE_PICTURES])


def evaluate_through_server(artifact: Artifact, split: Split) -> list[dict[str, Any]]:
    """`point`, the mean of `sent_bytes` and of the task's metric of all pictures sent to a server, by `streamed` point.

    Of the questions about a picture the first one is asked.

    Raises:
        DataError: if the data set has other classes than the artifact, or other questions.
    """
    score = judge(artifact.manifest, split)
    if artifact.manifest.task.free_text is None:
        check_classes(artifact, split)
    with server_process(artifact.folder) as server:
        return asyncio.run(stream(server.address, artifact, split, score))


def drawn(manifest: Manifest, split: Split) -> Split:
    """The pictures that a server is sent: all; where it answers in free text some, drawn."""
    if manifest.task.free_text is None:
        return split
    return split.drawn(SPOKEN_PICTURES)


class _EncodesOnce(Encoder):
    """For pictures that are sent at every point: a refinable model's indices are the same each time."""

    def __init__(self, artifact: Artifact) -> None:
        super().__init__(artifact, threads=1)
        self._found: dict[int, tuple[Picture, int, Indices]] = {}

    def encode(self, picture: Picture, point: int) -> Indices:
        _, of, indices = self._found.get(id(picture), (picture, 0, None))
        if indices is None or of != point:
            indices = super().encode(picture, point)
            self._found[id(picture)] = picture, point, indices  # with the picture, so that no other one has its id
        return indices

    def forget(self, picture: Picture) -> None:
        """It will not be asked for again."""
        del self._found[id(picture)]


async def stream(address: str, artifact: Artifact, split: Split, score: Judge) -> list[dict[str, Any]]:
    """As `evaluate_through_server`, of a server that runs."""
    points, metric = streamed(artifact.manifest), artifact.manifest.task.metric
    good, sent = dict.fromkeys(points, 0.0), dict.fromkeys(points, 0)
    slots = asyncio.Semaphore(1 if artifact.manifest.task.free_text else IN_FLIGHT)
    encoder = _EncodesOnce(artifact)
    async with AsyncClient(address, encoder) as client:

        async def one(i: int) -> None:
            async with slots:
                picture = encoder.fit(await asyncio.to_thread(split.picture, i))
                for point in points:
                    if question := split.question(i):
                        result = await client.ask(picture, question, OneShot(point=point))
                    else:
                        result = await client.predict(picture, OneShot(point=point))
                    label = int(split.labels[i].flat[0])
                    good[point] += score(result.answers[-1].value, picture, question, label)
                    sent[point] += result.payload_bytes
                encoder.forget(picture)

        asked = [asyncio.create_task(one(i)) for i in range(len(split))]
        for each in track(asked, description="streaming", console=console, transient=True):
            await each
    count = len(split)
    return [{"point": p, "sent_bytes": round(sent[p] / count, 3), metric: round(good[p] / count, 6)} for p in points]


def check_classes(artifact: Artifact, split: Split) -> None:
    """Raises DataError if the data set has other classes than the artifact, or other questions; UsageError if answers
    are free text."""
    if artifact.manifest.task.free_text is not None:
        raise UsageError(
            f"{artifact.manifest.name} answers in free text, which a server says; evaluate it with --through-server."
        )
    classes = artifact.manifest.task.names
    if split.questions != artifact.manifest.task.questions:
        raise DataError(
            f"The data set has other questions than {artifact.manifest.name} was trained on, or none; use the data set "
            "that it was trained on."
        )
    if classes and split.classes != classes:
        odd = sorted(set(split.classes) ^ set(classes))[:3]
        raise DataError(
            f"The data set's {len(split.classes)} classes are not the {len(classes)} that "
            f"{artifact.manifest.name} was trained on (for example {', '.join(odd) or 'their order'}); train again, "
            "or use the data set that it was trained on."
        )
