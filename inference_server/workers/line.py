"""Questions and answers between two processes of one server: frames of a length and JSON, over a pair of sockets."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from inference_server.shared_answers import StoreAway
from wire.exceptions import ArtoveqError, ServerError, ServerUnavailable

LENGTH = struct.Struct("<I")
Verb = Callable[..., Awaitable[Any]]


class LineCut(ServerUnavailable):
    """The process at the other end has gone."""

    def __init__(self) -> None:
        super().__init__("A process of the server has just ended, and is started anew; try again in a few seconds.")


def frame(said: Mapping[str, Any]) -> bytes:
    """As it goes over the line."""
    data = json.dumps(said).encode()
    return LENGTH.pack(len(data)) + data


class Line:
    """One end. verbs: what the other one may ask; each gets what was given as keywords, and gives JSON values."""

    def __init__(self, verbs: Mapping[str, Verb]) -> None:
        self._verbs = verbs
        self._numbers = itertools.count()
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._writer: asyncio.StreamWriter | None = None
        self._running = asyncio.Event()

    async def ask(self, verb: str, /, **given: Any) -> Any:
        """What the other end answers.

        Raises:
            ArtoveqError: as it was raised there; LineCut if it is gone.
        """
        number, answer = next(self._numbers), asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            await self._running.wait()
            self._say({"number": number, "verb": verb, "given": given})
            return await answer
        finally:
            del self._asked[number]

    async def run(self, end: socket.socket) -> None:
        """Answers, until the other end is gone."""
        reader, self._writer = await asyncio.open_connection(sock=end)
        self._running.set()
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
                    self._take(json.loads(await reader.readexactly(length)))
        finally:
            self._writer.close()
            self._writer = None
            for answer in self._asked.values():
                if not answer.done():
                    answer.set_exception(LineCut())

    def _take(self, said: dict[str, Any]) -> None:
        if "verb" in said:
            task = asyncio.create_task(self._answer(said["number"], said["verb"], said["given"]))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        elif (answer := self._asked.get(said["number"])) is not None and not answer.done():
            if "error" in said:
                answer.set_exception(_error(said["error"], said["text"]))
            else:
                answer.set_result(said["answer"])

    async def _answer(self, number: int, verb: str, given: dict[str, Any]) -> None:
        try:
            said = {"number": number, "answer": await self._verbs[verb](**given)}
        except ArtoveqError as error:
            said = {"number": number, "error": type(error).__name__, "text": str(error)}
        with contextlib.suppress(LineCut):  # nobody wants to know any more
            self._say(said)

    def _say(self, said: Mapping[str, Any]) -> None:
        if self._writer is None:
            raise LineCut
        self._writer.write(frame(said))


def _error(name: str, text: str) -> ArtoveqError:
    """An error as it was raised elsewhere."""
    kinds: list[type[ArtoveqError]] = [ArtoveqError]
    for kind in kinds:  # which grows
        if kind.__name__ == name and kind not in (StoreAway, LineCut):
            return kind(text)
        kinds += kind.__subclasses__()
    return ServerError(text)
