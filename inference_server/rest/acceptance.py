"""How HTTP's connections are taken: one in each round of the event loop, and each is nobody's until it says something.

A thousand connections that come at once and say nothing cost little so: what answers is made with their first bytes,
and of those that speak at once for one every other millisecond.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any

from inference_server.access.rounds import Rounds

log = logging.getLogger(__name__)

PENDING = 1024
"""Connections that the kernel keeps until they are taken."""
AGAIN_S = 1.0
"""After a connection could not be taken, since the process has too many files open."""


PAUSE_S = 0.002
"""Between two connections that have begun to speak: about four times what one takes of the event loop."""


class Listener(socket.socket):
    """A listening socket with at most so many connections."""

    def __init__(self, family: int, most: int) -> None:
        super().__init__(family)
        self._most = most
        self._open: dict[int, socket.socket] = {}
        """By descriptor, the one that was opened or has begun to wait first in front; some are closed by now."""
        self._served: set[int] = set()

    def accept(self) -> tuple[socket.socket, Any]:
        connection, address = super().accept()
        number = connection.fileno()
        self._open.pop(number, None)
        self._served.discard(number)
        self._open[number] = connection
        if len(self._open) > self._most:
            self._make_room()
        return connection, address

    def waits(self, number: int) -> None:
        """The connection of this descriptor waits for a request."""
        self._served.discard(number)
        if number in self._open:
            self._open[number] = self._open.pop(number)

    def serves(self, number: int) -> None:
        """It has a request, which is being answered."""
        self._served.add(number)

    def _make_room(self) -> None:
        for number in [number for number, one in self._open.items() if one.fileno() < 0]:
            del self._open[number]
            self._served.discard(number)
        if len(self._open) > self._most:
            oldest = next(number for number in self._open if number not in self._served)
            with contextlib.suppress(OSError):  # it has hung up already
                self._open.pop(oldest).shutdown(socket.SHUT_RDWR)


class Acceptance:
    """Takes a listener's connections until it is closed; uvicorn closes it as it would one of asyncio's servers."""

    def __init__(
        self,
        listener: Listener,
        protocol: Callable[[], asyncio.Protocol],
        tls: ssl.SSLContext | None,
        greeting_seconds: float,
    ) -> None:
        self._listener, self._protocol, self._tls, self._greeting_s = listener, protocol, tls, greeting_seconds
        self._loop = asyncio.get_running_loop()
        self._silent: dict[socket.socket, asyncio.TimerHandle] = {}
        self._making: set[asyncio.Task[None]] = set()
        self._rounds = Rounds(PAUSE_S)
        self._later: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        listener.listen(PENDING)
        self._loop.add_reader(listener, self._take)

    def close(self) -> None:
        """Takes no more, and hangs up on those that have said nothing."""
        self._loop.remove_reader(self._listener)
        if self._later is not None:
            self._later.cancel()
        self._listener.close()
        for connection in list(self._silent):
            self._hang_up(connection)

    async def wait_closed(self) -> None:
        """Those that have just said something have what answers."""
        await asyncio.gather(*self._making, return_exceptions=True)

    def _take(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            log.warning("No connection of HTTP can be taken (%s); the server tries again in %g s.", error, AGAIN_S)
            self._loop.remove_reader(self._listener)
            self._later = self._loop.call_later(AGAIN_S, self._loop.add_reader, self._listener, self._take)
            return
        connection.setblocking(False)
        self._silent[connection] = self._loop.call_later(self._greeting_s, self._hang_up, connection)
        self._loop.add_reader(connection, self._speaks, connection)

    def _hang_up(self, connection: socket.socket) -> None:
        self._loop.remove_reader(connection)
        self._silent.pop(connection).cancel()
        connection.close()

    def _speaks(self, connection: socket.socket) -> None:
        """It has sent something, or hung up."""
        self._loop.remove_reader(connection)
        self._silent.pop(connection).cancel()
        task = self._loop.create_task(self._make(connection))
        self._making.add(task)
        task.add_done_callback(self._making.discard)

    async def _make(self, connection: socket.socket) -> None:
        await self._rounds.next()
        handshake_s = self._greeting_s if self._tls else None
        with contextlib.suppress(OSError, asyncio.TimeoutError):  # TLS that is none, or a caller that is gone
            await self._loop.connect_accepted_socket(
                self._protocol, connection, ssl=self._tls, ssl_handshake_timeout=handshake_s
            )
