"""The process: both ports opened, signals heard, drained in order."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Sequence

import grpc
import uvicorn
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from starlette.concurrency import run_in_threadpool

from inference_server.access.certificates import Certificates
from inference_server.access.contents import READ_AGAIN_S
from inference_server.alone import Alone
from inference_server.deployment import Deployment
from inference_server.descriptors import connections_of, raise_limit
from inference_server.lifetime import end_within, first_signal
from inference_server.management import Management
from inference_server.memory import return_large_blocks
from inference_server.models_folder import ModelsFolder
from inference_server.open_inference.service import OpenInferenceService
from inference_server.page.address import code, edge_address
from inference_server.rest.acceptance import Listener
from inference_server.rest.app import build_app
from inference_server.rest.connections import HttpServer
from inference_server.rest.sockets import Socket
from inference_server.rpc.ending import EndCalls
from inference_server.rpc.options import options
from inference_server.rpc.service import Service, read_requests
from inference_server.self_signed import fingerprint_of
from inference_server.settings import Settings
from inference_server.streams.balancing import Balancing
from inference_server.streams.streams import Streams
from wire.addresses import authority
from wire.exceptions import ServerError
from wire.generated import open_inference_pb2
from wire.generated import remote_inference_pb2 as pb
from wire.generated.open_inference_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from wire.generated.remote_inference_pb2_grpc import add_RemoteInferenceServiceServicer_to_server

log = logging.getLogger(__name__)

SWITCH_S = 0.0005
"""How long the event loop may keep the decoder's thread from its next batch; a tenth of what Python allows."""
CLOSING_S, LAST_S = 1.5, 0.3
"""What the end may take beside the settings' seconds, and a step of it that somebody holds up."""
SERVICE_NAME = pb.DESCRIPTOR.services_by_name["RemoteInferenceService"].full_name
OPEN_INFERENCE = open_inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name


class Server:
    """A running server. `start`, then `stop`, on one event loop; `port` and `http_port` are the ones in use."""

    def __init__(self, settings: Settings, alone: Alone | None = None) -> None:
        self.settings = settings
        self.deployment = Deployment(settings, alone)
        self._alone = self.deployment.alone
        self._streams = Streams(self.deployment)
        requests = read_requests(self.deployment, (SERVICE_NAME, OPEN_INFERENCE))
        service = Service(self.deployment, self._streams, requests)
        self._calls = EndCalls((SERVICE_NAME, OPEN_INFERENCE))
        self._health = health.aio.HealthServicer()
        self._connections = connections_of(settings.connections)
        self._grpc = grpc.aio.server(
            options=options(settings, self._connections, shares_port=self._alone.shares_ports),
            interceptors=[self._calls, requests],
            maximum_concurrent_rpcs=settings.calls,
        )
        add_RemoteInferenceServiceServicer_to_server(service, self._grpc)  # type: ignore[no-untyped-call]
        add_GRPCInferenceServiceServicer_to_server(OpenInferenceService(self.deployment), self._grpc)  # type: ignore[no-untyped-call]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        described = (SERVICE_NAME, OPEN_INFERENCE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(described, self._grpc)
        self._certificates = Certificates(settings) if settings.tls_certificate else None
        own = Management(self.deployment, self._streams, time.monotonic())
        self._balancing = _balancing(settings, self._streams) if settings.store else None
        self._models_folder = (
            ModelsFolder(settings.models, own, self.deployment.found_models) if settings.models else None
        )
        app = build_app(self.deployment, self._streams, self._alone.management(own, self.deployment, self._streams))
        self._http = HttpServer(
            uvicorn.Config(
                app,
                log_level="error",  # what callers do wrong fills no log
                lifespan="off",
                ws=Socket,
                ws_max_size=settings.message_bytes,
                ws_ping_interval=settings.keepalive_seconds,
                ws_ping_timeout=settings.keepalive_timeout_seconds,
                ws_per_message_deflate=False,  # a small message may be a large one, and indices are no shorter for it
                proxy_headers=False,  # `access.proxies` reads them, for both ports
                server_header=False,
            ),
            greeting_seconds=settings.greeting_seconds,
            upload_seconds=settings.upload_seconds,
        )
        self._http.config.load()
        if self._certificates is not None:
            self._http.config.ssl = self._certificates.http_context()

    async def start(self) -> None:
        """Opens both ports.

        Raises:
            ServerError: if one is in use.
        """
        host, shared = self.settings.host, self._alone.shares_ports
        http_socket = listen(host, self.settings.http_port, self._connections, shared=shared)
        self.http_port: int = http_socket.getsockname()[1]
        try:
            self.port = self.deployment.port = self._open_grpc(authority(host, self.settings.port))
        except RuntimeError as error:
            http_socket.close()
            raise ServerError(_in_use(host, self.settings.port)) from error
        await self._grpc.start()
        self._watching = [asyncio.create_task(self._look_at_files()), asyncio.create_task(self._look_at_models())]
        if self._balancing is not None:
            self._watching.append(asyncio.create_task(self._balancing.run()))
        self._http_task = asyncio.create_task(self._http.serve(sockets=[http_socket]))
        while not self._http.started:  # noqa: ASYNC110 (uvicorn has no event for it)
            await asyncio.sleep(0.005)
        for name in ("", SERVICE_NAME, OPEN_INFERENCE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    def _open_grpc(self, address: str) -> int:
        if self._certificates is None:
            return self._grpc.add_insecure_port(address)
        return self._grpc.add_secure_port(address, self._certificates.rpc_credentials())

    async def _look_at_files(self) -> None:
        """Tokens and certificates change while the server runs."""
        while True:
            await asyncio.sleep(READ_AGAIN_S)
            try:
                self._streams.end_revoked()
                if self._certificates is not None:
                    self._certificates.read_again()
            except Exception:  # whatever it was, what changes next is still seen
                log.exception("Tokens and certificates could not be looked at.")

    async def _look_at_models(self) -> None:
        """They come and go while the server runs; beside the other files, since to load one takes time."""
        while self._models_folder is not None:
            await asyncio.sleep(READ_AGAIN_S)
            try:
                await self._models_folder.look(time.monotonic())
            except Exception:
                log.exception("The models folder could not be looked at.")

    async def stop(self) -> None:
        """Says so, waits until that was heard, takes no new work, finishes what it has, closes the ports.

        What takes longer than the settings allow is cut, with a sentence where it can still be told.
        """
        settings = self.settings
        self.deployment.leaving = True
        saying = asyncio.create_task(self._health.enter_graceful_shutdown())  # a watcher that does not read holds it up
        await asyncio.wait({saying}, timeout=LAST_S)
        if self._balancing is not None:
            await asyncio.wait({asyncio.create_task(self._balancing.leave())}, timeout=LAST_S)
        await asyncio.sleep(settings.drain_notice_seconds)
        self.deployment.draining = True
        self._streams.drain()
        for task in self._watching:
            task.cancel()
        await asyncio.gather(
            self._calls.end(self._grpc, settings.drain_seconds),
            self._http.end(self._http_task, settings.drain_seconds),
        )
        ending = [asyncio.create_task(model.stop()) for model in self.deployment.models]
        if self.deployment.shared_answers is not None:
            ending.append(asyncio.create_task(self.deployment.shared_answers.close()))
        if ending:
            await asyncio.wait(ending, timeout=LAST_S)


def _balancing(settings: Settings, streams: Streams) -> Balancing:
    from inference_server.redis_store import RedisStore  # an extra's, which `shared_answers` has asked for

    return Balancing(RedisStore(settings.store, settings.store_seconds), streams)


async def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT."""

    async def ready(server: Server) -> None:
        models = [(one.manifest.name, one.manifest.fingerprint) for one in server.deployment.models]
        announce(settings, models, server.port, server.http_port)

    await run_until(settings, Alone(), first_signal(), ready)


async def run_until(
    settings: Settings, alone: Alone, stopping: asyncio.Event, ready: Callable[[Server], Awaitable[None]]
) -> None:
    """Serves, in a process of its own, until `stopping`, and stops in time. ready: is told once it serves.

    Raises:
        ArtoveqError: if it cannot.
    """
    sys.setswitchinterval(SWITCH_S)
    raise_limit()
    return_large_blocks()
    server = Server(settings, alone)
    await server.start()
    await run_in_threadpool(gc.collect)  # in a thread of HTTP's, which the first request finds loaded then
    gc.freeze()  # else each full collection goes through all that was loaded, and no answer leaves for 0.1 s
    await ready(server)
    await stopping.wait()
    end_within(settings.drain_notice_seconds + settings.drain_seconds + CLOSING_S)
    await server.stop()


def announce(settings: Settings, models: Sequence[tuple[str, str]], port: int, http_port: int) -> None:
    """Says what is served, and where. models: names and fingerprints."""
    served = [f"{name} ({fingerprint[:12]})" for name, fingerprint in models]
    print(
        f"Serving {', '.join(served) or 'no model yet'}: gRPC on {authority(settings.host, port)}, page and REST on "
        f"http{'s' if settings.tls_certificate else ''}://{authority(settings.host, http_port)}/",
        flush=True,
    )
    for name, fingerprint in models:
        print(f"Edges take {name} alone with --fingerprint {fingerprint}", flush=True)
    if settings.tls_self_signed:
        _invite(settings, http_port)


def _invite(settings: Settings, http_port: int) -> None:
    """How phones and edges come to trust a certificate that nobody vouches for."""
    assert settings.tls_certificate is not None
    url, certificate = edge_address("https", "localhost", http_port), fingerprint_of(settings.tls_certificate)
    print(f"A phone is an edge at {url}; its certificate has the SHA-256 {certificate}", flush=True)
    print(f"Edges trust it with --tls --ca-file {settings.tls_certificate}", flush=True)
    if sys.stdout.isatty():
        code(url, certificate).terminal(compact=True)


def listen(host: str, port: int, connections: int, *, shared: bool = False) -> Listener:
    """A socket at this port. shared: with other processes of this user's.

    Raises:
        ServerError: if it is in use.
    """
    host = host.strip("[]")
    listener = Listener(socket.AF_INET6 if ":" in host else socket.AF_INET, connections)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT if shared else socket.SO_REUSEADDR, 1)
    if listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # "::" is every address, as it is for gRPC
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ServerError(_in_use(host, port)) from error
    return listener


def _in_use(host: str, port: int) -> str:
    return f"The port {port} on {host} is in use or not allowed; choose another one with --port or --http-port."
