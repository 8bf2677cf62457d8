"""Pictures, and bodies around them, that cost the server more than they cost to make."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.service.attacks.target import Target
from wire.generated import remote_inference_pb2 as pb

SERVICE = "/artoveq.v1.RemoteInferenceService"
CALLERS = 16
HEAD = (
    "POST {} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n"
)
PREDICTIONS = "/v1/predictions"
BODY_BYTES = 2**21
HUGE_SIDE, SIDE = 7000, 3464
"""Of 49 megapixels; of just under 12."""


async def pixels(target: Target) -> None:
    """A few bytes of WebP, of 49 megapixels."""
    request = pb.PredictPictureRequest(picture=_webp(HUGE_SIDE)).SerializeToString()
    call = (await target.channel()).unary_unary(f"{SERVICE}/PredictPicture", bytes, bytes)

    async def one() -> None:
        while await target.turn(len(request)):
            await target.hear(call(request, metadata=target.metadata))

    await asyncio.gather(*(one() for _ in range(CALLERS)))


async def slow_pictures(target: Target) -> None:
    """Pictures of just under 12 megapixels, in the forms that take longest to decode, over HTTP."""
    await _post(target, [(PREDICTIONS, "image/png", file) for file in (_webp(SIDE), _png(SIDE), _jpeg(SIDE))])


async def bodies(target: Target) -> None:
    """Forms of many parts and of long heads, and JSON of many values, to each path that reads such."""
    form, json = "multipart/form-data; boundary=b", "application/json"
    parts, heads = b"\r\n--b\r\n\r\n", b"a:b\r\n"
    objects, numbers = b'{"a":{}},', b"1,"
    infer = f"/v2/models/{Path(target.model).name}/infer"
    await _post(
        target,
        [
            (PREDICTIONS, form, parts * (BODY_BYTES // len(parts))),
            (PREDICTIONS, form, parts[2:7] + heads * (BODY_BYTES // len(heads))),
            (PREDICTIONS, json, b"[%s1]" % (objects * (BODY_BYTES // len(objects)))),
            (infer, json, b'{"inputs": [{"data": [%s1]}]}' % (numbers * (BODY_BYTES // len(numbers)))),
        ],
    )


async def _post(target: Target, posted: Sequence[tuple[str, str, bytes]]) -> None:
    """Path, type and body in turn, by many callers."""
    requests = itertools.cycle(
        [HEAD.format(path, target.token, kind, len(body)).encode() + body for path, kind, body in posted]
    )

    async def one() -> None:
        while not target.over:
            with contextlib.suppress(OSError):
                reader, writer = await target.connect(target.http_port, known=True)
                while await target.turn(len(request := next(requests))):
                    writer.write(request)
                    await writer.drain()
                    if target.patience and not await _answered(target, reader):
                        break
                writer.close()
            await target.rest()

    await asyncio.gather(*(one() for _ in range(CALLERS)))


async def _answered(target: Target, reader: asyncio.StreamReader) -> bool:
    """Reads an answer, and notes its status."""
    try:
        header = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(re.findall(rb"content-length: (\d+)", header.lower())[0]))
    except asyncio.IncompleteReadError:
        return False
    target.books.replies[header[9:12].decode()] += 1
    return True


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
