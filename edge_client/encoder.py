"""The edge half of the network, run by ONNX Runtime on the best provider there is."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import cast
from weakref import WeakValueDictionary

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from wire.artifact import Artifact
from wire.entropy import open_coder
from wire.local_head import local_head_of, local_outputs
from wire.manifest import ENCODER, LOCAL_LOGITS
from wire.payload import Indices, PayloadCodec
from wire.pictures import Picture, fit_picture
from wire.sessions import GraphSession
from wire.tasks import Output

log = logging.getLogger(__name__)

MOST_SAVED = 2
"""Entropy coding is not expected to make payloads so many times smaller."""
PROVIDERS = ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider")


class Encoder:
    """Pictures to indices of the learned codebook.

    artifact: loaded with at least `ENCODER`.
    threads: of the CPU provider; 0 lets ONNX Runtime decide.
    """

    encode_s: float | None = None
    """Seconds that a picture takes, where that was measured for all who share this encoder."""

    def __init__(self, artifact: Artifact, *, threads: int = 0) -> None:
        self.artifact, self.manifest = artifact, artifact.manifest
        available = [p for p in PROVIDERS if p in ort.get_available_providers()]
        self._session = GraphSession(artifact, ENCODER, threads=threads, providers=available, bounded=True)
        self.codec = PayloadCodec(artifact.manifest, open_coder(artifact))
        """Indices to payloads."""
        self.provider = self._session.provider
        log.info("The encoder of %s runs on %s.", self.manifest.name, self.provider)

    @property
    def finest(self) -> int:
        """The point to encode at: where the model is refinable, others are prefixes (`PayloadCodec.at_point`)."""
        return self.manifest.chain[-1] if self.manifest.refinable else len(self.manifest.points)

    def encode(self, picture: Picture, point: int) -> Indices:
        """A picture of any size to its indices at an operating point, shape (M,).

        Raises:
            PointError: if the model does not have this point.
        """
        return cast(Indices, self.encode_batch(self.fit(picture)[None], point)[0])

    def point_within(self, picture: Picture, max_bytes: int) -> int:
        """The point whose payload of this picture comes nearest to so many bytes, and does not exceed them.

        Where payloads are packed it is the manifest's. Where they are entropy-coded, finer points often fit, too: it is
        found by bisection, the picture encoded at each step, since what a point takes rises with its packed bytes.
        """
        least = self.manifest.point_within(max_bytes)
        if self.codec.coder is None or self.manifest.refinable:
            return least
        fitted, best = self.fit(picture)[None], (0, least)
        finer = range(least, 1 + self.manifest.point_within(MOST_SAVED * max_bytes))
        while finer:
            middle = finer[len(finer) // 2]
            taken = len(self.codec.write_block(self.encode_batch(fitted, middle)[0], middle)[0])
            if taken <= max_bytes:
                best = max(best, (taken, middle))
            finer = range(middle + 1, finer.stop) if taken <= max_bytes else range(finer.start, middle)
        return best[1]

    def fit(self, picture: Picture) -> Picture:
        """The picture at the encoder's input size."""
        return fit_picture(picture, self.manifest.preprocessing.size)

    def encode_batch(self, pictures: Picture, point: int) -> Indices:
        """Pictures (B, S, S, 3) that already have the encoder's size, to indices (B, M) at an operating point."""
        return self.encode_sizes(pictures, self.codec.sizes(point))

    def encode_sizes(self, pictures: Picture, sizes: NDArray[np.int32]) -> Indices:
        """As `encode_batch`, at codebook sizes (S,) of the segments.

        Raises:
            ArtifactError: if the graph cannot be run, or gives anything but indices: it may come from a stranger.
        """
        found = self._session.run("indices", {"picture": pictures, "sizes": sizes})
        return self.codec.checked(found, len(pictures), sizes)

    def answer_batch(self, pictures: Picture) -> tuple[Indices, Output]:
        """Indices (B, M) at the finest point, and the edge's own answers (B, classes), of pictures (B, S, S, 3).

        Raises:
            PointError: if the model has no local head.
            ArtifactError: as `encode_sizes`.
        """
        local_head_of(self.manifest)
        sizes = self.codec.sizes(self.finest)
        outputs = ("indices", LOCAL_LOGITS)
        indices, logits = self._session.run_both(outputs, {"picture": pictures, "sizes": sizes})
        count = len(pictures)
        return self.codec.checked(indices, count, sizes), local_outputs(self.manifest, logits, count)


_shared: WeakValueDictionary[str, Encoder] = WeakValueDictionary()
_opening = threading.Lock()


def shared_encoder(artifact: Artifact) -> Encoder:
    """The one encoder of this process for a model, opened and warmed up where nobody has it yet. Takes a while."""
    with _opening:
        encoder = _shared.get(artifact.manifest.fingerprint)
        if encoder is None:
            encoder = Encoder(artifact)
            encoder.encode_s = warm_up(encoder, time.perf_counter)
            _shared[artifact.manifest.fingerprint] = encoder
        return encoder


def warm_up(encoder: Encoder, clock: Callable[[], float]) -> float:
    """Seconds that a picture takes. The first run of an encoder takes longer, and no picture shall pay for it."""
    size, seconds = encoder.manifest.preprocessing.size, 0.0
    for _ in range(2):
        began = clock()
        encoder.encode(np.zeros((size, size, 3), np.uint8), encoder.finest)
        seconds = clock() - began
    return seconds
