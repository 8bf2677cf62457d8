"""One served model: its artifact, its decoder with a queue of its own, and its encoder for picture files."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

from numpy.typing import NDArray
from prometheus_client import Counter

from inference_server import metrics
from inference_server.alone import Alone
from inference_server.answers import Decoded, answer_message
from inference_server.encoder import PictureEncoder
from inference_server.encodings import Encodings
from inference_server.loading import Loading
from inference_server.memory import MemoryBudget
from inference_server.runner import DecoderRunner
from inference_server.scheduler import Scheduler
from inference_server.settings import Settings
from inference_server.speaking.language import Language
from inference_server.streams.status import UnknownFile
from wire.artifact import SIGNATURE, SIGNER, Artifact, load_artifact, read_file
from wire.base import base_file
from wire.entropy import open_coder
from wire.exceptions import PictureError
from wire.generated import remote_inference_pb2 as pb
from wire.local_head import local_head_of
from wire.manifest import DECODER, ENCODER, INT8_DECODER, MANIFEST, TORCH_DECODER
from wire.payload import Indices, PayloadCodec
from wire.pictures import OpenPicture, open_picture
from wire.shown import shown
from wire.signatures import check_signed
from wire.tasks import Output, task_of

FILES = (ENCODER, DECODER, TORCH_DECODER, INT8_DECODER)
LOADED_TIMES = 6
"""So much more than its files a model takes in memory: 5.0 to 5.8, measured, with what a batch goes through."""


class _ByPoint(dict[int, Counter]):
    """A metric's counters of one model: to look their labels up takes longer than to count."""

    def __init__(self, metric: Counter, model: str) -> None:
        super().__init__()
        self._metric, self._model = metric, model

    def __missing__(self, point: int) -> Counter:
        counter = self[point] = self._metric.labels(self._model, point)
        return counter


class Model:
    """Made from an artifact's folder; what it does, it does on the event loop that runs.

    memory: of picture files that are being read, shared with the server's other models, as is loading. alone: where it
    is decoded. Decoder and encoder are opened once they are asked for, and may be closed while nothing is.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        memory: MemoryBudget,
        loading: Loading | None = None,
        alone: Alone | None = None,
    ) -> None:
        self._alone = alone or Alone()
        self.artifact: Artifact = load_artifact(folder)
        if settings.require_signature is not None:
            check_signed(self.artifact, settings.require_signature)
        self.manifest = self.artifact.manifest
        self.task = task_of(self.manifest)
        self.codec = PayloadCodec(self.manifest, open_coder(self.artifact))
        scheduler = Scheduler(
            batch_pictures=settings.batch_pictures,
            caller_pictures=settings.batch_pictures,
            window=settings.batch_window_ms / 1000,
            queue_pictures=settings.queue_pictures,
        )
        sizes = {name: self.artifact.path(name).stat().st_size for name in FILES if self.artifact.has(name)}
        self.memory_bytes = LOADED_TIMES * (sizes.pop(ENCODER) + max(sizes.values(), default=0))
        """What it takes while it is loaded, about."""
        if self.manifest.base is not None and self.manifest.task.free_text is not None:
            self.memory_bytes += LOADED_TIMES * base_file(self.manifest.base).stat().st_size
        self._scheduler, self._measured = scheduler, False
        self._loading = loading or Loading()
        self.decoder = DecoderRunner(self.manifest, None, scheduler, lambda: self._loading.ask(self))
        self._encoder: PictureEncoder | None = None
        self._encoder_asked = -math.inf
        self._memory = memory
        self._encodings: Encodings[NDArray[Any]] = Encodings(
            most=settings.encoding_pictures, most_of_caller=settings.caller_encodings, threads=os.cpu_count() or 1
        )
        self._settings = settings
        self.streams = self.pictures = 0
        """Streams that are open, and pictures that have had their final answer."""
        self._begun = _ByPoint(metrics.POINT_SELECTED, self.manifest.name)
        self._answered = _ByPoint(metrics.PICTURES, self.manifest.name)
        beside = [name for name in (SIGNATURE, SIGNER) if (folder / name).exists()]
        self.signature = {name: read_file(folder, name) for name in beside}
        """Of the manifest, and the key to check it, by their files' names, where the model is signed."""
        self._edge_files: dict[str, bytes] = {}

    @property
    def loaded(self) -> bool:
        """Whether decoder and encoder are in memory."""
        return self._encoder is not None

    @property
    def asked(self) -> float:
        """When it was asked for anything last, of the monotonic clock."""
        return max(self.decoder.asked, self._encoder_asked)

    @property
    def works(self) -> bool:
        """Whether anything waits for it, or is under way."""
        return self.decoder.works or self._encodings.busy

    def open(self) -> None:
        """Loads decoder and encoder, which takes a while; in any thread.

        Raises:
            ArtifactError: if one cannot be opened.
        """
        settings = self._settings
        encoder = PictureEncoder(self.artifact, threads=settings.decoder_threads)
        decoder = self._alone.decoder(self.artifact, settings)
        if not self._measured:
            self._scheduler.caller_pictures = self._alone.caller_pictures(decoder, self.manifest, settings)
            self._measured = True
        if self.decoder.speech is not None and self.decoder.speech.language is None:
            self.decoder.speech.language = Language(self.artifact)
        self.decoder.decoder, self._encoder = decoder, encoder

    def close(self) -> None:
        """Unloads them; nothing may wait for it, or be under way."""
        self.decoder.decoder = self._encoder = None
        if self.decoder.speech is not None:
            self.decoder.speech.language = None

    def edge_file(self, name: str) -> bytes:
        """A file that an edge needs, or the manifest; read once, however many fetch it.

        Raises:
            UnknownFile: if it is neither.
        """
        if name not in (MANIFEST, *self.manifest.edge_files):
            raise UnknownFile(f"There is no file {shown(name)!r} to fetch.")
        if name not in self._edge_files:
            self._edge_files[name] = read_file(self.artifact.folder, name)
        return self._edge_files[name]

    @property
    def best_point(self) -> int:
        """Where picture files are encoded."""
        return len(self.manifest.points)

    async def encode(self, caller: str, file: bytes, point: int) -> Indices:
        """A caller's picture file to its indices (M,) at a point, off the event loop.

        Raises:
            PictureError: if it is no picture, or too large.
            ServerOverloaded: if too many are being read.
        """
        encoder = await self._asked_encoder()
        return cast(Indices, await self._read(caller, file, partial(encoder.encode, point=point)))

    async def answer_locally(self, caller: str, file: bytes) -> Output:
        """As `encode`: what an edge would answer to a caller's picture without us, (classes,).

        Raises:
            PointError: if the model has no local head.
        """
        local_head_of(self.manifest)
        return cast(Output, await self._read(caller, file, (await self._asked_encoder()).answer))

    async def _asked_encoder(self) -> PictureEncoder:
        self._encoder_asked = time.monotonic()
        await self._loading.want(self)
        assert self._encoder is not None
        return self._encoder

    async def _read(self, caller: str, file: bytes, use: Callable[[OpenPicture], NDArray[Any]]) -> NDArray[Any]:
        limit = self._settings.max_upload_bytes
        if len(file) > limit:
            raise PictureError(f"The picture file has {len(file):,} bytes, more than the limit of {limit:,}.")

        def in_thread() -> NDArray[Any]:
            picture = open_picture(file, max_pixels=self._settings.max_pixels)
            with self._memory.hold(picture.memory_bytes):
                return use(picture)

        return await self._encodings.run(caller, in_thread)

    async def stop(self) -> None:
        """Decodes what waits, then ends; picture files that nobody has begun to read are left."""
        await self.decoder.stop()
        self._encodings.stop()
        self.close()

    def answer(self, decoded: Decoded, top_k: int) -> pb.Answer:
        """The only answer to a picture, which is counted."""
        self.count(decoded.point)
        return answer_message(decoded, self.task, self.manifest, top_k)

    def count_begun(self, point: int) -> None:
        """A picture has begun on a stream, whose payload is to end in this point."""
        self._begun[point].inc()

    def count(self, point: int) -> None:
        """A picture has had its final answer, made from this point."""
        self.pictures += 1
        self._answered[point].inc()
