"""What gRPC and REST share: the model, its batcher, and answers by class."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from inference_server import metrics
from inference_server.access import Access
from inference_server.batcher import Answer, Batcher
from inference_server.decoder import open_decoder
from inference_server.edges import Edges
from inference_server.encoder import PictureEncoder
from inference_server.settings import Settings
from wire.artifact import Artifact, load_artifact
from wire.bitplanes import Indices
from wire.entropy import EntropyCoder, open_coder
from wire.exceptions import PictureError, ServerOverloaded, ServerUnavailable
from wire.generated import remote_inference_pb2 as pb


@dataclass(frozen=True)
class ClassScore:
    """A class, and how probable the decoder holds it."""

    index: int
    name: str
    probability: float


class Engine:
    """One served model. Create it on the event loop, then start its batcher."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.artifact: Artifact = load_artifact(Path(settings.model))
        self.manifest = self.artifact.manifest
        self.coder: EntropyCoder | None = open_coder(self.artifact)
        self.encoder = PictureEncoder(self.artifact, threads=settings.decoder_threads, max_pixels=settings.max_pixels)
        self.batcher = Batcher(
            open_decoder(self.artifact, settings.decoder_threads, settings.decoder),
            pictures=settings.batch_pictures,
            window=settings.batch_window_ms / 1000,
            queue=settings.queue_pictures,
        )
        self.edges = Edges()
        self.access = Access(settings)
        self.leaving = False
        """The server is about to stop; still, it takes new work."""
        self.draining = False
        self._encoding = 0

    def refuse_when_draining(self) -> None:
        """Raises ServerUnavailable once the server is stopping."""
        if self.draining:
            raise ServerUnavailable("The server is stopping and takes no new work; try another one.")

    async def encode(self, file: bytes, level: int) -> Indices:
        """A picture file to its level-l indices, off the event loop.

        Raises:
            PictureError: if it is no picture, or too large.
            ServerOverloaded: if too many are being read.
        """
        self.refuse_when_draining()
        limit = self.settings.max_upload_bytes
        if len(file) > limit:
            raise PictureError(f"The picture file has {len(file):,} bytes, more than the limit of {limit:,}.")
        if self._encoding >= self.settings.encoding_pictures:
            raise ServerOverloaded(f"{self._encoding} picture files are being read already; try again a little later.")
        self._encoding += 1
        try:
            return await asyncio.to_thread(self.encoder.encode, file, level)
        finally:
            self._encoding -= 1

    def best_classes(self, answer: Answer, top_k: int) -> list[ClassScore]:
        """The k most probable classes of an answer, best first; at least one."""
        order = answer.probabilities.argsort()[::-1][: max(1, top_k)]
        return [ClassScore(int(i), self.manifest.classes[i], float(answer.probabilities[i])) for i in order]

    def prediction(self, answer: Answer, top_k: int, *, picture_id: int = 0, final: bool = True) -> pb.Prediction:
        """An answer as it crosses the wire; counts final ones."""
        if final:
            metrics.PICTURES.labels(answer.level).inc()
        classes = [
            pb.ClassProbability(index=c.index, name=c.name, probability=c.probability)
            for c in self.best_classes(answer, top_k)
        ]
        return pb.Prediction(
            picture_id=picture_id,
            planes_used=answer.level,
            classes=classes,
            final=final,
            queue_us=round(answer.queue * 1e6),
            decode_us=round(answer.decode * 1e6),
        )
