"""Edges that are told to move: in virtual time, and between two real servers behind one address."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx2
import pytest

import edge_client.client
from artoveq.processes import ServerProcess, server_process
from edge_client import AsyncClient, OneShot, Progressive, Result
from edge_client.transport.emulated import CapacityTrace, Shaper
from edge_client.transport.memory import MemoryTransport, run_in_virtual_time
from tests import tiny
from tests.edge_client.models import FakeEncoder, shipped_like
from tests.edge_client.plans import PICTURE, Server
from wire.exceptions import ServerUnavailable

AGE_S = 2.0


class Away:
    """A transport to nobody."""

    overhead_bytes = acknowledgement_bytes = 0

    async def open(self, metadata: object) -> None:
        raise ServerUnavailable("Nobody is there.")

    async def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def no_second_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture whose stream breaks is lost, so that it shows."""
    monkeypatch.setattr(edge_client.client, "ATTEMPTS", 1)


def two_servers(use: Callable[[AsyncClient, list[Server]], Awaitable[None]], away: Callable[[], bool]) -> None:
    """Behind one address, which leads to one after the other, or to nobody while that is `away`."""

    async def main() -> None:
        encoder = FakeEncoder(shipped_like())
        servers = [Server(encoder.codec, decode_s=0.02, age_s=AGE_S) for _ in range(2)]
        turn = itertools.cycle(servers)
        up, down = (Shaper(CapacityTrace([(0.0, rate)]), delay=0.05) for rate in (1e5, 1e9))

        def transport() -> MemoryTransport:
            return Away() if away() else MemoryTransport(next(turn), up, down)  # type: ignore[return-value]

        async with AsyncClient("memory", encoder, transport=transport) as client:
            await use(client, servers)

    run_in_virtual_time(main())


def test_pictures_go_on_while_the_edge_moves() -> None:
    """Three are always open, some of them progressive, and none is lost, late, or answered twice."""
    results: list[Result] = []

    async def use(client: AsyncClient, servers: list[Server]) -> None:
        async def follow(offset: float) -> None:
            await asyncio.sleep(offset)
            for number in range(80):
                mode = Progressive() if number % 2 else OneShot(point=16)
                results.append(await client.predict(PICTURE, mode, budget=0.4))

        await asyncio.gather(*(follow(0.07 * one) for one in range(3)))
        seconds = asyncio.get_running_loop().time()
        opened = [len(server.streams) for server in servers]
        assert sum(opened) == 1 + seconds // AGE_S and abs(opened[0] - opened[1]) <= 1
        answered = [(server, *one) for server in servers for one in server.answered]
        assert len(answered) == len(set(answered)) == 240

    two_servers(use, away=lambda: False)
    assert len(results) == 240 and all(one.answers[-1].after < 0.45 for one in results)


def test_an_edge_that_finds_nobody_else_stays_and_tries_again() -> None:
    since: list[float] = []

    def away() -> bool:
        return bool(since) and asyncio.get_running_loop().time() < 60.0

    async def use(client: AsyncClient, servers: list[Server]) -> None:
        since.append(0.0)
        loop = asyncio.get_running_loop()
        while loop.time() < 100.0:
            await client.predict(PICTURE, OneShot(point=16))
            if loop.time() < 60.0:
                assert [len(server.streams) for server in servers] == [1, 0]
            await asyncio.sleep(0.5)
        assert sum(len(server.streams) for server in servers) > 5

    two_servers(use, away)


def test_an_edge_without_pictures_moves_and_ends_while_it_is_moving() -> None:
    async def use(client: AsyncClient, servers: list[Server]) -> None:
        await asyncio.sleep(5.5 * AGE_S)
        assert [len(server.streams) for server in servers] == [3, 3]
        await asyncio.sleep(0.5 * AGE_S + 0.01)  # the client leaves with the new stream half open

    two_servers(use, away=lambda: False)


def test_a_stream_that_one_server_refuses_is_opened_with_another() -> None:
    refused: list[float] = []

    def away() -> bool:
        if len(refused) < 2:
            refused.append(asyncio.get_running_loop().time())
            return True
        return False

    async def use(client: AsyncClient, servers: list[Server]) -> None:
        assert sum(len(server.streams) for server in servers) == 1
        result = await client.predict(PICTURE, OneShot(point=16), budget=0.4)
        assert result.answers[-1].after < 0.4 and 0 < refused[1] - refused[0] < 0.1

    two_servers(use, away)


def test_where_all_refuse_it_is_said_soon() -> None:
    asked: list[None] = []

    async def use(client: AsyncClient, servers: list[Server]) -> None:
        raise AssertionError("There is no server.")

    with pytest.raises(ServerUnavailable, match="Nobody is there"):
        two_servers(use, away=lambda: not asked.append(None))
    assert len(asked) == 3


class Balancer:
    """An address that leads to the servers in turn, by connections, as a balancer of TCP does."""

    def __init__(self, *servers: ServerProcess) -> None:
        self.servers, self._next = list(servers), 0

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        listener = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        async with listener:
            yield f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._next += 1
        server = self.servers[self._next % len(self.servers)]
        with contextlib.suppress(OSError):
            there, to = await asyncio.open_connection("127.0.0.1", server.port)
            await asyncio.gather(_pump(reader, to), _pump(there, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError), contextlib.closing(writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


def _answered(server: ServerProcess) -> int:
    text = httpx2.get(f"http://127.0.0.1:{server.http_port}/metrics").text
    lines = [line for line in text.splitlines() if line.startswith("artoveq_pictures_total{")]
    return round(sum(float(line.rpartition(" ")[2]) for line in lines))


@pytest.mark.slow
def test_edges_spread_over_servers_and_leave_one_that_stops(tmp_path: Path) -> None:
    """Eight edges of one server; a second one joins, then the first is stopped. No picture needs a second attempt."""
    model = tiny.progressive(tmp_path / "model")
    served = [0] * 8
    environment = {**os.environ, "ARTOVEQ_STREAM_AGE_SECONDS": "1", "ARTOVEQ_DECODER": "onnx"}

    async def follow(number: int, address: str, going: asyncio.Event) -> None:
        async with AsyncClient(address, model.folder) as client:
            while going.is_set():
                await client.predict(tiny.picture("red"), OneShot(point=4), budget=1.0)
                served[number] += 1
                await asyncio.sleep(0.01)

    async def main(first: ServerProcess, second: ServerProcess) -> None:
        balancer, going = Balancer(first), asyncio.Event()
        async with balancer.open() as address:
            going.set()
            edges = [asyncio.create_task(follow(number, address, going)) for number in range(len(served))]
            await asyncio.sleep(0.3)
            balancer.servers.append(second)
            await asyncio.sleep(2.5)  # each has moved twice
            going.clear()
            await asyncio.gather(*edges)
            shares = [await asyncio.to_thread(_answered, server) for server in (first, second)]
            assert sum(shares) == sum(served) and shares[1] > sum(served) / 8
            going.set()
            edges = [asyncio.create_task(follow(number, address, going)) for number in range(len(served))]
            await asyncio.sleep(0.3)
            balancer.servers.remove(first)
            first.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(first.process.wait, 10) == 0
            already = list(served)
            while not all(now > then for now, then in zip(served, already, strict=True)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            going.clear()
            await asyncio.gather(*edges)

    with (
        server_process(model.folder, env=environment) as first,
        server_process(model.folder, env=environment) as second,
    ):
        asyncio.run(main(first, second))
