"""Bodies of requests: read in time and within limits, and JSON that holds the event loop for milliseconds at most."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect

from inference_server.access.turns import Turns
from inference_server.deployment import Deployment
from inference_server.uploads import Upload, UploadTooSlow
from wire.exceptions import PictureError

RECEIVED_S = 2.5e-9
"""That a byte of a body takes of the event loop, about, on one core of a small machine."""
MOST_VALUES = 2**16
"""Of a JSON body. A long text is read at once, but so many megabytes of small values would take seconds."""


@contextlib.asynccontextmanager
async def received(deployment: Deployment, caller: str, request: Request) -> AsyncIterator[bytes]:
    """The request's body, which counts among the caller's uploads until the block ends.

    While others are about, it comes in as the caller's share of the event loop allows; the block begins in its turn.

    Raises:
        UploadTooLarge: if it is longer than a file may be; it is not read to its end.
        UploadTooSlow: if it comes too late.
        ServerOverloaded: if too much is arriving.
        PictureError: if the caller has hung up.
    """
    seconds = deployment.settings.upload_seconds
    with deployment.uploads.one(caller) as upload:
        try:
            await asyncio.wait_for(_read(deployment.access.turns, caller, request, upload), seconds)
        except asyncio.TimeoutError:
            raise UploadTooSlow(seconds) from None
        file = upload.file()
        await deployment.access.turns.turn(caller)  # to join megabytes takes as long as to read what they say
        yield file


async def _read(turns: Turns, caller: str, request: Request, upload: Upload) -> None:
    announced = request.headers.get("content-length", "")
    upload.expect(int(announced) if announced.isdecimal() else 0)
    try:
        async for chunk in request.stream():
            upload.add(chunk)
            turns.worked(caller, RECEIVED_S * len(chunk))
            await turns.turn(caller)
    except ClientDisconnect:  # nobody reads the answer
        raise PictureError("The request was cut short.") from None


def parsed(text: bytes) -> Any:
    """What the JSON says.

    Raises:
        ValueError: if it is none, is nested too deeply, or has too many values.
    """
    if text.count(b",") >= MOST_VALUES:  # deep ones without a comma end by themselves
        raise ValueError(f"has more than {MOST_VALUES:,} values")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
