"""`artoveq doctor`: what an edge needs, here and on the way to its server, checked one by one."""

from __future__ import annotations

import importlib.util
import os
import platform
import socket
import ssl
import statistics
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

from artoveq.demo.camera import SAMPLE
from artoveq.pages import FAULTS, no_page
from edge_client import Client, Security
from edge_client.encoder import Encoder
from wire.artifact import load_artifact
from wire.cache import cache_folder
from wire.distribution import model_folder
from wire.exceptions import ArtoveqError

PORTS = (50051, 8080)
DAY_S = 86_400
FEW_DAYS, APART_S, TIMEOUT_S = 14, 30.0, 5.0
"""Days that a certificate should still have; how far clocks may be apart."""
EXTRAS = {
    "camera": "cv2",
    "mqtt": "paho",
    "oci": "oras",
    "server": "fastapi",
    "signing": "model_signing",
    "train": "torchvision",
}
PICTURES = 8


class Fault(Exception):
    """What is wrong, and what there is to be done, as a sentence."""


@dataclass(frozen=True)
class Finding:
    """A line. fault: what there is to be done; empty where all is well."""

    name: str
    said: str = ""
    fault: str = ""

    def __str__(self) -> str:
        return f"{'ok' if not self.fault else '!!':<4}{self.name:<13}{self.fault or self.said}"


def findings(server: str, page: str, model: Path | None, security: Security) -> Iterator[Finding]:
    """Each as it is found. server, page: empty, to look at this machine alone."""
    yield _finding("python", _python)
    yield _finding("providers", lambda: _providers(model))
    yield _finding("cache", _cache)
    if not server:
        yield from (_finding(f"port {port}", lambda port=port: _free(port)) for port in PORTS)  # type: ignore[misc]
        return
    yield _finding("port", lambda: _port(server))
    if security.tls:
        yield _finding("certificate", lambda: _certificate(server, security))
    if page:
        yield _finding("clock", lambda: _clock(page, security))
    try:
        with Client(server, model, security=security) as client:
            manifest = client.encoder.manifest
            yield Finding("model", f"{manifest.name}, {manifest.fingerprint[:12]}, {len(manifest.points)} points")
            yield _finding("link", lambda: _link(client))
    except ArtoveqError as error:
        yield Finding("model", fault=str(error))


def _finding(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, look())
    except (Fault, ArtoveqError) as fault:
        return Finding(name, fault=str(fault))


def _python() -> str:
    have = [extra for extra, package in EXTRAS.items() if importlib.util.find_spec(package)]
    return f"{platform.python_version()} on {platform.machine()}; extras: {', '.join(have) or 'none'}"


def _providers(model: Path | None) -> str:
    import onnxruntime as ort

    if model is None:
        return f"{', '.join(ort.get_available_providers())} of ONNX Runtime {ort.__version__}"
    encoder = Encoder(load_artifact(model_folder(model), edge=True))
    return f"{encoder.provider} runs the encoder of {encoder.manifest.name}"


def _cache() -> str:
    folder = cache_folder()
    there = next(one for one in (folder, *folder.parents) if one.exists())
    if not os.access(there, os.W_OK):
        raise Fault(f"{folder} cannot be written; set ARTOVEQ_CACHE to a folder that can.")
    return str(folder)


def _free(port: int) -> str:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("0.0.0.0", port))
        except OSError as error:
            raise Fault(
                f"A server could not use it ({error.strerror}); stop what has it, or choose another one with "
                "`serve --port` or `--http-port`. For a server that runs, say --server."
            ) from error
    return "free for a server"


def _port(server: str) -> str:
    began = time.monotonic()
    try:
        with socket.create_connection(_host_and_port(server), TIMEOUT_S):
            return f"{server} takes connections, after {1000 * (time.monotonic() - began):.0f} ms"
    except OSError as error:
        raise Fault(f"{server} takes no connection ({error}); check host, port and firewalls.") from error


def _host_and_port(server: str) -> tuple[str, int]:
    host, _, port = server.rpartition(":")
    if not (host and port.isdecimal()):
        raise Fault(f"{server!r} is no address; write HOST:PORT.")
    return host.strip("[]"), int(port)


def _context(security: Security) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=security.ca_file)
    if security.certificate:
        context.load_cert_chain(security.certificate, security.key)
    return context


def _certificate(server: str, security: Security) -> str:
    try:
        context = _context(security)
        context.set_alpn_protocols(["h2"])
        host, port = _host_and_port(server)
        with (
            socket.create_connection((host, port), TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as wrapped,
        ):
            ends = ssl.cert_time_to_seconds(str((wrapped.getpeercert() or {})["notAfter"]))
    except OSError as error:  # ssl.SSLError is one
        raise Fault(
            f"TLS does not come about ({error}); look at --ca-file, the host's name and both clocks."
        ) from error
    left = int((ends - time.time()) / DAY_S)
    if left < FEW_DAYS:
        raise Fault(f"It ends in {left} days; renew it.")
    return f"good for {left} days more"


def _clock(page: str, security: Security) -> str:
    request = urllib.request.Request(page.rstrip("/") + "/healthz")
    try:
        began = time.time()
        context = _context(security) if page.startswith("https:") else None
        with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=context) as answer:
            theirs = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except FAULTS as error:
        raise Fault(no_page(page, error)) from error
    apart = (began + time.time()) / 2 - theirs
    if abs(apart) > APART_S:
        raise Fault(f"It is {apart:+.0f} s from the server's; set both by NTP: certificates and logs go by it.")
    return "agrees with the server's"


def _link(client: Client) -> str:
    times = [client.predict(SAMPLE, budget="5s") for _ in range(PICTURES)]
    capacity, trip = client.capacity or 0.0, min(one.round_trip for one in times)
    latency = statistics.median(one.latency for one in times)
    return (
        f"{capacity / 1000:,.0f} kbit/s or more up, {1000 * trip:.0f} ms there and back; "
        f"a picture is answered after {1000 * latency:.0f} ms, {times[-1].payload_bytes} bytes"
    )
