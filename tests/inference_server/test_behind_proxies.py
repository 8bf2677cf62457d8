"""HAProxy and nginx, as docs/proxies has them, before real servers: streams, pages, who calls, a server that stops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack
from pathlib import Path

import grpc
import httpx2
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc

from artoveq.processes import ServerProcess, server_process
from benchmarks.service.proxies import HOSTS, Certificates, free_port, haproxy, nginx
from edge_client import AsyncClient, OneShot
from edge_client.transport.security import Security
from tests import tiny
from tests.inference_server.conftest import png
from tests.inference_server.serving import Running, serving
from tests.inference_server.test_stream import hello
from wire.artifact import Artifact
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub as Stub

pytestmark = [pytest.mark.proxies, pytest.mark.slow]
HERE = "127.0.0.1"
PATIENCE_S = 20.0
NOTICE_S = 2.0
"""Of the first server, when it stops."""
LIES = (
    ("x-forwarded-for", "198.51.100.7"),
    ("client-cert", ":bm8=:"),
    ("x-forwarded-client-cert", 'Subject="CN=gate"'),
)
"""What callers say of themselves, and have no right to."""


Proxy = Callable[[Path, tuple[int, int], Certificates], AbstractContextManager[int]]
RUNNING = [(haproxy, "client-cert"), (nginx, "x-forwarded-client-cert")]


class Site:
    """A proxy, and three servers behind it, of which the last is told of another proxy than this one."""

    def __init__(self, port: int, servers: list[Running], ca: Path, gate: tuple[Path, Path]) -> None:
        self.address, self.url, self.servers = f"localhost:{port}", f"https://localhost:{port}", servers
        self.plain = Security(tls=True, ca_file=ca)
        self.gate = Security(True, ca, *gate)
        """An edge with a certificate of the name gate."""
        self.context = ssl.create_default_context(cafile=str(ca))

    def streams(self) -> list[int]:
        """Open ones, by server."""
        return [sum(model.streams for model in one.server.deployment.models) for one in self.servers]

    def callers(self) -> list[set[str]]:
        """Those that have streams, by server."""
        return [
            {edge.caller.partition(",")[0] for edge in one.server.deployment.edges.connected.values()}
            for one in self.servers
        ]


@pytest.fixture(scope="module", params=RUNNING, ids=["haproxy", "nginx"])
def site(
    request: pytest.FixtureRequest, progressive: Artifact, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    (proxy, header), folder = request.param, tmp_path_factory.mktemp("site")
    authority, ca = trustme.CA(), folder / "ca.pem"
    authority.cert_pem.write_to_path(ca)
    server, gate = authority.issue_cert("localhost"), authority.issue_cert(common_name="gate")
    paths = [folder / name for name in ("server.pem", "server-key.pem", "gate.pem", "gate-key.pem")]
    for issued, (certificate, key) in ((server, paths[:2]), (gate, paths[2:])):
        issued.cert_chain_pems[0].write_to_path(certificate)
        issued.private_key_pem.write_to_path(key)
    ports = free_port(), free_port()
    settings = {"port": ports[0], "http_port": ports[1], "proxy_certificate_header": header}
    with ExitStack() as stack:
        servers = [
            stack.enter_context(
                serving(progressive.folder, host=host, proxies=ours, drain_notice_seconds=notice_s, **settings)
            )
            for host, ours, notice_s in zip(HOSTS, (HERE, HERE, "192.0.2.7"), (NOTICE_S, 0, 0), strict=True)
        ]
        for host in HOSTS:  # one after the other: what pydantic makes late is not made by several threads at once
            assert httpx2.get(f"http://{host}:{ports[1]}/readyz").status_code == 200
        port = stack.enter_context(proxy(folder, ports, Certificates(paths[0], paths[1], ca)))
        yield Site(port, servers, ca, (paths[2], paths[3]))


@contextlib.contextmanager
def channel(site: Site, security: Security) -> Iterator[grpc.Channel]:
    """For calls of no client of ours."""
    files = [
        None if file is None else file.read_bytes() for file in (security.ca_file, security.key, security.certificate)
    ]
    with grpc.secure_channel(site.address, grpc.ssl_channel_credentials(*files)) as opened:
        yield opened


def streaming(opened: grpc.Channel, artifact: Artifact, stack: ExitStack) -> None:
    """A stream that lies about whose it is, and says nothing, until the stack is left."""
    left = threading.Event()

    def requests() -> Iterator[pb.StreamRequest]:
        yield hello(artifact)
        left.wait(PATIENCE_S)

    call = Stub(opened).Stream(requests(), metadata=LIES)
    stack.callback(call.cancel)
    stack.callback(left.set)
    assert next(call).HasField("welcome")


def test_callers_are_whom_their_proxy_names_whatever_they_say(site: Site, progressive: Artifact) -> None:
    with channel(site, site.plain) as plain, channel(site, site.gate) as gate, ExitStack() as stack:
        for opened in (plain, gate) * 3:
            streaming(opened, progressive, stack)
        # The third server is none of this proxy's: to it, all its callers are the proxy.
        assert set.union(*site.callers()[:2]) == {HERE, "CN=gate"} and site.callers()[2] == {HERE}


def test_who_comes_through_no_proxy_is_its_host_whatever_it_says(site: Site, progressive: Artifact) -> None:
    with grpc.insecure_channel(f"{HOSTS[2]}:{site.servers[2].server.port}") as direct, ExitStack() as stack:
        streaming(direct, progressive, stack)
        assert site.callers() == [set(), set(), {HERE}]


def test_pages_calls_and_health_go_through(site: Site) -> None:
    with httpx2.Client(base_url=site.url, verify=site.context) as http:
        assert http.get("/readyz").json() == {"status": "ready"}
        answer = http.post("/v1/predictions", content=png("red"))
        assert answer.json()["classes"][0]["name"] == "red"
        with http.stream("GET", "/v1/edges", headers={"Accept": "text/event-stream"}) as events:
            assert next(events.iter_lines()).startswith("retry: ")
    with channel(site, site.plain) as plain:
        asked = health_pb2.HealthCheckRequest()
        assert health_pb2_grpc.HealthStub(plain).Check(asked).status == health_pb2.HealthCheckResponse.SERVING
        request = pb.PredictPictureRequest(picture=png("green"))
        assert Stub(plain).PredictPicture(iter([request])).answer.classification.classes[0].name == "green"


def test_streams_spread_and_leave_a_server_that_stops(site: Site, progressive: Artifact) -> None:
    """No picture fails, also of edges that come while the server stops."""
    over, served = asyncio.Event(), [0] * 12

    async def edge(number: int) -> None:
        async with AsyncClient(
            site.address, progressive.folder, security=site.gate, connect_timeout=PATIENCE_S
        ) as client:
            while not over.is_set():
                await client.predict(tiny.picture("red"), OneShot(point=4), budget=1.0)
                served[number] += 1
                await asyncio.sleep(0.02)

    edges: list[asyncio.Task[None]] = []

    async def all_go_on() -> None:
        """Each has been answered once more."""
        before = served[: len(edges)]
        while not all(now > then for now, then in zip(served, before, strict=False)):
            for one in edges:
                if one.done():
                    one.result()
            await asyncio.sleep(0.02)

    async def main() -> None:
        edges.extend(asyncio.create_task(edge(number)) for number in range(9))
        await asyncio.wait_for(all_go_on(), 2 * PATIENCE_S)
        assert site.streams() == [3, 3, 3]
        stopping = asyncio.create_task(asyncio.to_thread(site.servers[0].stop))
        await asyncio.sleep(NOTICE_S - 0.3)  # the proxy has looked at its health meanwhile, if it looks at all
        edges.extend(asyncio.create_task(edge(number)) for number in range(9, 12))
        await stopping
        await asyncio.wait_for(all_go_on(), 2 * PATIENCE_S)
        assert site.streams()[0] == 0 and sum(site.streams()) == 12
        over.set()
        await asyncio.gather(*edges)

    asyncio.run(main())


@pytest.mark.parametrize("proxy", [haproxy, nginx])
def test_pictures_of_a_server_that_dies_are_answered_by_another(
    proxy: Proxy, progressive: Artifact, tmp_path: Path
) -> None:
    authority, names = trustme.CA(), ("ca.pem", "server.pem", "server-key.pem")
    ca, certificate, key = (tmp_path / name for name in names)
    issued = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(ca)
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    ports = free_port(), free_port()
    environment = {**os.environ, "ARTOVEQ_DECODER": "onnx"}

    async def main(port: int, first: ServerProcess) -> None:
        clients = [
            AsyncClient(
                f"localhost:{port}", progressive.folder, security=Security(True, ca), connect_timeout=PATIENCE_S
            )
            for _ in range(6)
        ]
        async with AsyncExitStack() as stack:
            for client in clients:
                await stack.enter_async_context(client)
            for number in range(20):
                if number == 10:
                    first.process.kill()
                asked = (client.predict(tiny.picture("red"), OneShot(point=4), budget=1.0) for client in clients)
                results = await asyncio.gather(*asked)
                assert {one.answers[-1].best.name for one in results} == {"red"}

    with ExitStack() as stack:
        servers = []
        for host in HOSTS[:2]:
            options = ("--host", host, "--port", str(ports[0]), "--http-port", str(ports[1]))
            servers.append(stack.enter_context(server_process(progressive.folder, *options, env=environment)))
        port = stack.enter_context(proxy(tmp_path, ports, Certificates(certificate, key, ca)))
        asyncio.run(main(port, servers[0]))
