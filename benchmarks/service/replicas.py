"""Three servers behind HAProxy and a thousand edges: servers are added, updated, killed, and given another model."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artoveq.pages import asked
from artoveq.processes import serve_command
from benchmarks.results import Bar
from benchmarks.service.device_processes import DeviceProcesses, Group
from benchmarks.service.devices import of_another_version
from benchmarks.service.measure import variables
from benchmarks.service.proxies import HOSTS, Certificates, free_port, haproxy, running
from inference_server.self_signed import self_signed
from wire.exceptions import ServerError
from wire.manifest import MANIFEST

TOKEN = "0123456789abcdef0123456789abcdef"
FAIR = 0.2
"""How far from its share of the streams a replica may be."""
GAP_S, LEADS_S = 1.5, 30.0
SHARE = 0.1


@dataclass(frozen=True)
class Scenario:
    """What is done to how many edges. busy: of the edges; senders: of those, edges that also ask again from a spool.

    busy_s, slow_s: between two pictures of a busy edge, and of another. age_s: of a stream. settle_s: after which
    streams are counted. kills: one every kill_s. notice_s, drain_s: of a server that stops.
    """

    edges: int = 1000
    busy: int = 64
    senders: int = 8
    busy_s: float = 0.75
    slow_s: float = 60.0
    age_s: float = 25.0
    settle_s: float = 30.0
    kills: int = 12
    kill_s: float = 5.0
    notice_s: float = 2.0
    drain_s: float = 10.0


class Replica:
    """A server at an address of its own, started again and again."""

    def __init__(self, model: Path, host: str, ports: tuple[int, int], environment: dict[str, str]) -> None:
        self._command = [*serve_command(model, host, ports[0]), "--http-port", str(ports[1])]
        self._url, self._environment = f"http://{host}:{ports[1]}", environment

    async def start(self) -> None:
        """Returns when it takes work."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdout=subprocess.PIPE, env={**os.environ, **self._environment}
        )
        assert self._process.stdout is not None
        if not await self._process.stdout.readline():
            raise ServerError(f"The server of {self._url} did not start; see its message above.")

    async def end(self, number: signal.Signals) -> int:
        """Returns its exit code, when it has ended."""
        if self._process.returncode is None:
            self._process.send_signal(number)
        return await self._process.wait()

    async def models(self) -> list[dict[str, Any]]:
        """As `GET /v1/models`."""
        found: list[dict[str, Any]] = await self.ask("GET", "/v1/models")
        return found

    async def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """A request to its page, as an admin."""

        def read() -> Any:
            with asked(self._url, path, TOKEN, None, method=method, body=body, timeout=60) as answer:
                return json.loads(answer.read() or b"null")

        return await asyncio.to_thread(read)


class Fleet:
    """The replicas, what is done to them, and what was found in each part."""

    def __init__(self, replicas: Sequence[Replica], devices: DeviceProcesses, scenario: Scenario) -> None:
        self._replicas, self._devices, self._scenario = replicas, devices, scenario
        self.found: dict[str, dict[str, Any]] = {}

    @contextlib.contextmanager
    def _part(self, name: str) -> Iterator[dict[str, Any]]:
        """What is done inside has books of its own, and figures beside them."""
        self._devices.next_part()
        self.found[name] = {}
        yield self.found[name]

    async def scale_out(self) -> None:
        """From one replica to all of them."""
        with self._part("scale-out") as found:
            await asyncio.gather(*(one.start() for one in self._replicas[1:]))
            found.update(await self._spread())

    async def update(self) -> None:
        """One replica after the other is stopped, and started anew."""
        with self._part("rolling update") as found:
            found["exit_codes"] = []
            for one in self._replicas:
                found["exit_codes"].append(await one.end(signal.SIGTERM))
                await one.start()
            found.update(await self._spread())

    async def kill(self) -> None:
        """One is killed, and started anew, again and again."""
        with self._part("kill -9") as found:
            loop = asyncio.get_running_loop()
            for number in range(self._scenario.kills):
                began, one = loop.time(), self._replicas[number % len(self._replicas)]
                await one.end(signal.SIGKILL)
                await one.start()
                await asyncio.sleep(max(0.0, began + self._scenario.kill_s - loop.time()))
            found["kills"] = self._scenario.kills
            found.update(await self._spread())

    async def canary(self, version: Path) -> None:
        """Another version is given to a tenth of the edges, to all, and to none."""
        with self._part("canary") as found:
            fingerprint = json.loads((version / MANIFEST).read_text())["fingerprint"]
            for one in self._replicas:
                await one.ask("POST", "/v1/models", {"folder": str(version)})
            for name, share in (("canary", SHARE), ("promoted", 1.0), ("rolled_back", 0.0)):
                for one in self._replicas:
                    if share:
                        await one.ask("POST", "/v1/promotions", {"fingerprint": fingerprint, "share": share})
                    else:
                        await one.ask("POST", "/v1/rollbacks", {"name": (await one.models())[0]["name"]})
                await asyncio.sleep(self._scenario.settle_s)
                of_version, streams = 0, 0
                for one in self._replicas:
                    for model in await one.models():
                        streams += model["streams"]
                        of_version += model["streams"] * (model["fingerprint"] == fingerprint)
                found[f"share_when_{name}"] = round(of_version / max(1, streams), 3)

    async def _spread(self) -> dict[str, Any]:
        """How streams spread over the replicas from now on: when it was fair first, and how it is in the end."""
        loop, fair_after = asyncio.get_running_loop(), None
        began = loop.time()
        while True:
            after = loop.time() - began
            streams = [sum(model["streams"] for model in await one.models()) for one in self._replicas]
            share = sum(streams) / len(streams)
            off = max(abs(one - share) for one in streams) / max(1.0, share)
            if fair_after is None and off <= FAIR:
                fair_after = round(after, 1)
            if after >= self._scenario.settle_s:
                return {"streams": streams, "off_its_share": round(off, 3), "fair_after_s": fair_after}
            await asyncio.sleep(min(1.0, self._scenario.settle_s / 10))


async def replicas(model: Path, other: Path, scenario: Scenario = Scenario()) -> tuple[dict[str, Any], list[Bar]]:
    """other: a model whose encoder and decoder are taken for another version of `model`.

    Raises:
        SettingsError: if HAProxy or Redis is missing.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        version = of_another_version(model, other, folder / "version")
        certificate, key = self_signed(folder / "tls", ["localhost"])
        ports, store = (free_port(), free_port()), free_port()
        redis = ["redis-server", "--port", str(store), "--bind", "127.0.0.1", "--save", "", "--loglevel", "warning"]
        stack.enter_context(running([*redis, "--dir", str(folder)], store))
        proxy = stack.enter_context(haproxy(folder, ports, Certificates(certificate, key, certificate)))
        environment = _environment(folder, scenario, store)
        fleet = [await stack.enter_async_context(_replica(model, host, ports, environment)) for host in HOSTS]
        of_all = f"localhost:{proxy}", certificate, (model, version)
        busy, others = range(scenario.busy), range(scenario.busy, scenario.edges)
        devices = DeviceProcesses([
            Group(*of_all, busy, scenario.busy_s, scenario.senders),
            Group(*of_all, others, scenario.slow_s, 0),
        ])  # fmt: skip
        stack.callback(devices.kill)
        await fleet[0].start()
        await _leads(f"https://localhost:{proxy}", certificate)
        await devices.open()
        acts = Fleet(fleet, devices, scenario)
        await acts.scale_out()
        await acts.update()
        await acts.kill()
        await acts.canary(version)
        books = await devices.end()
    figures = {"edges": scenario.edges, "busy": scenario.busy, "stream_age_s": scenario.age_s}
    parts = {name: {**one.figures(), **found} for one, (name, found) in zip(books, acts.found.items(), strict=True)}
    return {**figures, "parts": parts}, _bars(parts)


async def _leads(url: str, certificate: Path) -> None:
    """Returns once the proxy has seen that a replica is ready.

    Raises:
        ServerError: if it does not in time.
    """

    def ready() -> None:
        with asked(url, "/readyz", None, certificate, timeout=2):
            return

    for _ in range(round(LEADS_S / 0.1)):
        with contextlib.suppress(ServerError):
            return await asyncio.to_thread(ready)
        await asyncio.sleep(0.1)
    raise ServerError(f"{url} leads to no server after {LEADS_S:g} s, though one is ready.")


def _environment(folder: Path, scenario: Scenario, store: int) -> dict[str, str]:
    """Settings of the replicas. All edges are one host here, which else could not have so much."""
    admins = folder / "admins"
    admins.touch(0o600)
    admins.write_text(f"me:{TOKEN}\n")
    bounds = {"caller_streams": 4 * scenario.edges, "host_calls": 4 * scenario.edges, "decoder_threads": 1}
    stopping = {"drain_notice_seconds": scenario.notice_s, "drain_seconds": scenario.drain_s}
    texts = {
        "ARTOVEQ_DECODER": "onnx",
        "ARTOVEQ_LOG_LEVEL": "WARNING",
        "ARTOVEQ_PROXIES": "127.0.0.1",
        "ARTOVEQ_STORE": f"redis://127.0.0.1:{store}/0",
    }
    ages = variables(stream_age_seconds=scenario.age_s, admin_tokens_file=admins, **bounds, **stopping)
    return {**texts, **ages}


@contextlib.asynccontextmanager
async def _replica(
    model: Path, host: str, ports: tuple[int, int], environment: dict[str, str]
) -> AsyncIterator[Replica]:
    one = Replica(model, host, ports, environment)
    try:
        yield one
    finally:
        with contextlib.suppress(AttributeError, ProcessLookupError):  # it was never started, or has ended
            await one.end(signal.SIGKILL)


def _bars(parts: dict[str, dict[str, Any]]) -> list[Bar]:
    bars = []
    for name, found in parts.items():
        if name != "kill -9":
            bars.append(Bar(f"{name}: pictures that failed", found["failed"], 0, "at most"))
        bars.append(Bar(f"{name}: pictures lost", found["lost"], 0, "at most"))
        bars.append(Bar(f"{name}: pictures answered twice", found["twice"], 0, "at most"))
        bars.append(Bar(f"{name}: wrong answers", found["wrong"], 0, "at most"))
    canary = parts["canary"]
    return [
        *bars,
        Bar("kill -9: longest gap in answers, s", parts["kill -9"]["longest_gap_s"], GAP_S, "at most"),
        Bar("scale-out: farthest from its share", parts["scale-out"]["off_its_share"], FAIR, "at most"),
        Bar("canary: off its share of edges", round(abs(canary["share_when_canary"] - SHARE), 3), SHARE / 2, "at most"),
        Bar("canary: edges on it after rollback", canary["share_when_rolled_back"], 0, "at most"),
    ]
