"""Pictures that cost the server more than they cost to make."""

from __future__ import annotations

import asyncio
import io
import itertools
from functools import cache

import numpy as np
from PIL import Image

from benchmarks.service.attacks.target import Target
from wire.generated import remote_inference_pb2 as pb

SERVICE = "/artoveq.v1.RemoteInferenceService"
CALLERS = 16
HUGE_SIDE, SIDE = 7000, 3464
"""Of 49 megapixels; of just under 12."""


async def pixels(target: Target) -> None:
    """A few bytes of WebP, of 49 megapixels."""
    await _sent(target, [_webp(HUGE_SIDE)])


async def slow_pictures(target: Target) -> None:
    """Pictures of just under 12 megapixels, in the forms that take longest to decode."""
    await _sent(target, [_webp(SIDE), _png(SIDE), _jpeg(SIDE)])


async def _sent(target: Target, files: list[bytes]) -> None:
    requests = itertools.cycle([pb.PredictPictureRequest(picture=file).SerializeToString() for file in files])
    call = (await target.channel()).unary_unary(f"{SERVICE}/PredictPicture", bytes, bytes)

    async def one() -> None:
        while await target.turn(len(request := next(requests))):
            await target.hear(call(request, metadata=target.metadata))

    await asyncio.gather(*(one() for _ in range(CALLERS)))


@cache
def _webp(side: int) -> bytes:
    return _file(Image.new("RGB", (side, side)), "WEBP", lossless=True)


@cache
def _png(side: int) -> bytes:
    """Sixteen bits a sample, turned by its EXIF entry."""
    turned = Image.Exif()
    turned[0x0112] = 6
    return _file(Image.fromarray(np.zeros((side, side), np.uint16)), "PNG", exif=turned, compress_level=9)


@cache
def _jpeg(side: int) -> bytes:
    """Progressive: each pass over all of it."""
    return _file(Image.new("RGB", (side, side), "red"), "JPEG", progressive=True)


def _file(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
