"""Models that need no files: their manifests, and encoders that know every picture."""

from __future__ import annotations

import json
import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from edge_client import Encoder
from tests.wire.manifests import signed, values_of
from wire.entropy import EntropyCoder
from wire.local_head import local_head_of
from wire.manifest import Manifest
from wire.manifest_json import parse_manifest
from wire.payload import Indices, PayloadCodec
from wire.pictures import Picture

GROUPS, POSITIONS, BITS = 8, 64, 8


def metric_of(payload_bytes: float) -> float:
    """What answers of the shipped models are worth, about: weak at first, nearly all of it at 200 bytes."""
    return round(0.1 + 0.735 * (1 - math.exp(-payload_bytes / 40)), 6)


@cache
def shipped_like(planes: int = GROUPS * BITS) -> Manifest:
    """512 sub-vectors in 8 groups; a chain of 64 planes of 8 bytes, or of 8 whole levels of 64 bytes."""
    whole = planes == BITS
    chain = [range(GROUPS)] * BITS if whole else [[group] for _ in range(BITS) for group in range(GROUPS)]
    return _manifest([tuple(one) for one in chain])


@cache
def headed_like(metric: float = 0.6) -> Manifest:
    """`shipped_like` with a local head of this metric."""
    values = json.loads(shipped_like().model_dump_json()) | {"local_head": {"metric": metric, "temperature": 1.0}}
    del values["fingerprint"]
    return parse_manifest(json.dumps(signed(values)), "a manifest")


@cache
def nested_like() -> Manifest:
    """The same, but not refinable: 8 levels."""
    return _manifest([])


@cache
def reconstructing_like() -> Manifest:
    """64 sub-vectors of any size from 16 to 1024, 32 to 80 bytes; PSNR as a VQ-VAE of 32×32 pictures has it."""
    sizes = [(2 ** (payload_bytes / 8),) for payload_bytes in range(32, 81)]
    values = values_of((1,), [(int(size),) for (size,) in sizes], positions=POSITIONS, largest=1024, any_size=True)
    for point, (size,) in zip(values["points"], sizes, strict=True):
        point["metric"] = round(20.8 + 0.73 * (math.log2(size) - 4), 3)
    values["task"] = {"name": "reconstruction", "metric": "psnr"}
    del values["fingerprint"]
    return parse_manifest(json.dumps(signed(values)), "a manifest")


def _manifest(chain: list[tuple[int, ...]]) -> Manifest:
    sizes, points = [1] * GROUPS, []
    for refined in chain or [tuple(range(GROUPS))] * BITS:
        for s in refined:
            sizes[s] *= 2
        points.append(list(sizes))
    values = values_of([1] * GROUPS, points, positions=POSITIONS, chain=chain)
    for point in values["points"]:
        point["metric"] = metric_of(point["payload_bytes"])
    del values["fingerprint"]
    return parse_manifest(json.dumps(signed(values)), "a manifest")


class FakeEncoder(Encoder):
    """The same indices for every picture, in no time. sure: of its own answer, where it has one."""

    sure = 0.5

    def __init__(self, manifest: Manifest, coder: EntropyCoder | None = None) -> None:
        self.manifest, self.codec, self.provider = manifest, PayloadCodec(manifest, coder), "none"
        self.encoded = 0
        finest = np.array(manifest.point(self.finest).sizes, np.int32)
        drawn = np.random.default_rng(0).random(manifest.sub_vectors)
        self._share, self._segments = drawn, np.tile(np.repeat(np.arange(len(finest)), manifest.segments), POSITIONS)

    def encode(self, picture: Picture, point: int) -> Indices:
        self.encoded += 1
        return self.encode_sizes(picture, np.array(self.manifest.point(point).sizes, np.int32))

    def fit(self, picture: Picture) -> Picture:
        return picture

    def answer_batch(self, pictures: Picture) -> tuple[Indices, NDArray[np.float32]]:
        local_head_of(self.manifest)
        outputs = np.array([[self.sure, 1 - self.sure]] * len(pictures), np.float32)
        return np.stack([self.encode(picture, self.finest) for picture in pictures]), outputs

    def encode_sizes(self, pictures: Picture, sizes: NDArray[np.int32]) -> Indices:
        return (self._share * sizes[self._segments]).astype(np.int32)
