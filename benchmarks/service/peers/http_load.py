"""HTTP/1.1 over connections that stay open, with little enough of Python that the server is what is measured."""

from __future__ import annotations

import asyncio
import base64
import json
import time

from benchmarks.service.load import Counts, Payloads
from benchmarks.service.peers.arrivals import Arrivals


class HttpLoad:
    """So many connections, each with a picture at a time."""

    def __init__(self, port: int, payloads: Payloads, connections: int) -> None:
        self.counts = Counts()
        self._port, self._connections = port, connections
        self._payloads, self._sent = payloads, 0
        self._idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self._requests = [self._request(data, packed) for data, packed in payloads.blocks]

    @staticmethod
    def _request(data: bytes, packed: bool) -> bytes:
        body = json.dumps({"data": base64.b64encode(data).decode(), "packed": packed})
        head = ("POST /predict HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json")
        return "\r\n".join([*head, f"Content-Length: {len(body)}", "", body]).encode()

    async def open(self) -> None:
        for _ in range(self._connections):
            self._idle.put_nowait(await asyncio.open_connection("127.0.0.1", self._port))

    async def saturate(self, seconds: float) -> None:
        """All connections, for so long."""
        until = time.perf_counter() + seconds

        async def ask() -> None:
            while time.perf_counter() < until:
                await self._send(time.perf_counter())

        await asyncio.gather(*(ask() for _ in range(self._connections)))

    async def arrive(self, arrivals: Arrivals) -> None:
        """Pictures one by one, each over a connection that is free."""
        sending = [asyncio.create_task(self._send(due)) async for due in arrivals]
        await asyncio.gather(*sending)

    async def _send(self, due: float) -> None:
        """A picture, over a connection that is free; its latency counts from when it was due."""
        connection = await self._idle.get()
        number = self._sent = self._sent + 1
        try:
            answer = await self._ask(*connection, self._requests[number % len(self._requests)])
        except (ConnectionError, asyncio.IncompleteReadError, ValueError):
            self.counts.failed += 1
            connection = await asyncio.open_connection("127.0.0.1", self._port)
        else:
            index, _ = self._payloads.answers[number % len(self._requests)]
            self.counts.wrong += answer["index"] != index
            self.counts.answered += 1
            self.counts.latency_ms.append(1000 * (time.perf_counter() - due))
        self._idle.put_nowait(connection)

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
    ) -> dict[str, float]:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        if not head.startswith(b"http/1.1 200"):
            raise ValueError(head.decode())
        answer: dict[str, float] = json.loads(body)
        return answer

    async def close(self) -> None:
        while not self._idle.empty():
            self._idle.get_nowait()[1].close()
