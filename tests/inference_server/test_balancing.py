"""Three servers behind one address, with a real redis-server: edges spread over those that come, and lose nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import edge_client.client
from edge_client import AsyncClient, OneShot
from inference_server.streams import balance, balancing, streams
from tests import tiny
from tests.inference_server.serving import Running, serving
from tests.inference_server.test_shared_answers import Redis
from wire.artifact import Artifact

EDGES, SERVERS = 6, 3
RED = tiny.picture("red")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path)
    server.start()
    yield server
    server.kill()


class LeastConnections:
    """An address that leads to the server with fewest streams, as a balancer of TCP does."""

    def __init__(self, servers: list[Running]) -> None:
        self._servers = servers
        self.open_: dict[int, int] = {}

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        listener = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        async with listener:
            yield f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = min((one.server.port for one in self._servers), key=lambda port: self.open_.get(port, 0))
        self.open_[port] = self.open_.get(port, 0) + 1
        try:
            with contextlib.suppress(OSError):
                there, to = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.gather(_pump(reader, to), _pump(there, writer))
        finally:
            self.open_[port] -= 1


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError), contextlib.closing(writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


@pytest.mark.slow
@pytest.mark.redis
def test_edges_spread_over_servers_that_come(
    progressive: Artifact, store: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No picture needs a second attempt; who is spread stays; a store that is away changes nothing."""
    for module, name, value in ((balance, "TURN_S", 0.5), (balancing, "EVERY_S", 0.1), (streams, "SETTLED_S", 1.0)):
        monkeypatch.setattr(module, name, value)

    async def run(servers: list[Running], stack: contextlib.ExitStack) -> None:
        balancer, going, answered = LeastConnections(servers), True, [0] * EDGES

        def counts() -> list[int]:
            return [len(one.server._streams._open) for one in servers]

        async def follow(number: int, address: str) -> None:
            async with AsyncClient(address, progressive.folder, name=str(number), connect_timeout=30) as client:
                while going:
                    await client.predict(RED, OneShot(point=4), budget=1.0)
                    answered[number] += 1
                    await asyncio.sleep(0.02)

        async with balancer.open() as address:
            edges = []
            for number in range(EDGES):
                edges.append(asyncio.create_task(follow(number, address)))
                while not answered[number]:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            monkeypatch.setattr(edge_client.client, "ATTEMPTS", 1)
            for _ in range(SERVERS - 1):
                another = serving(progressive.folder, store=store.url)
                servers.append(await asyncio.to_thread(stack.enter_context, another))
            while not (sum(counts()) == EDGES and max(counts()) <= EDGES / SERVERS + 1):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            await asyncio.sleep(2)
            spread = counts()
            store.kill()
            await asyncio.sleep(1)
            assert counts() == spread and max(spread) <= EDGES / SERVERS + 1
            before = list(answered)
            while not all(now > then for now, then in zip(answered, before, strict=True)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            going = False
            await asyncio.gather(*edges)
        assert sum(answered) == sum(model.pictures for one in servers for model in one.server.deployment.models)

    with contextlib.ExitStack() as stack:
        first = stack.enter_context(serving(progressive.folder, store=store.url))
        asyncio.run(asyncio.wait_for(run([first], stack), 90))
