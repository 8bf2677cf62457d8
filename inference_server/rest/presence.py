"""Callers that hang up before they are answered: what takes seconds is not made for them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

from wire.exceptions import PictureError

T = TypeVar("T")


async def while_connected(request: Request, making: Coroutine[Any, Any, T]) -> T:
    """What is made for a request whose body has been read.

    Raises:
        PictureError: if the caller has hung up; nobody reads it.
    """
    made, gone = asyncio.create_task(making), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait((made, gone), return_when=asyncio.FIRST_COMPLETED)
        if made.done():
            return made.result()
        raise PictureError("The request was cut short.")
    finally:
        made.cancel()
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
