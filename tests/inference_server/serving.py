"""A server in this process, on free ports, whose event loop has a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inference_server.server import Server
from inference_server.settings import read_settings

STOP_SECONDS = 30


class Running:
    """A started server; `stop` may be called before its end."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self.server, self._loop = server, loop
        self.address = f"127.0.0.1:{server.port}"
        self.url = f"http://127.0.0.1:{server.http_port}"
        self._stopped = False

    def stop(self) -> None:
        """As SIGTERM does."""
        if not self._stopped:
            self._stopped = True
            asyncio.run_coroutine_threadsafe(self.server.stop(), self._loop).result(STOP_SECONDS)


@contextlib.contextmanager
def serving(*models: Path, **settings: Any) -> Iterator[Running]:
    """A server of these models, with these settings, until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="server")
    thread.start()

    async def start() -> Server:
        chosen = {"model": models, "host": "127.0.0.1", "port": 0, "http_port": 0, **settings}
        server = Server(read_settings(**chosen))
        await server.start()
        return server

    try:
        running = Running(asyncio.run_coroutine_threadsafe(start(), loop).result(STOP_SECONDS), loop)
        try:
            yield running
        finally:
            running.stop()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(STOP_SECONDS)
        loop.close()
