"""HAProxy and nginx as docs/proxies has them, before servers on loopback: with addresses and paths put in."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results import ROOT
from wire.exceptions import SettingsError

FILES = ROOT / "docs" / "proxies"
HOSTS = ("127.0.0.11", "127.0.0.12", "127.0.0.13")
"""Of the three servers; the files have 10.0.0.11 and so on."""
START_S = 10.0


@dataclass(frozen=True)
class Certificates:
    """PEM files. server: certificate and key of the proxy. edges: the authority of callers' certificates."""

    server: Path
    key: Path
    edges: Path


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as free:
        free.bind(("0.0.0.0", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def haproxy(folder: Path, ports: tuple[int, int], certificates: Certificates) -> Iterator[int]:
    """Runs it, writing its files to a folder; gives its port.

    ports: gRPC's and HTTP's, of each of the servers.

    Raises:
        SettingsError: if it is missing, or does not start.
    """
    both = folder / "artoveq.pem"
    both.write_bytes(certificates.server.read_bytes() + certificates.key.read_bytes())
    port = free_port()
    changes = {
        "/etc/haproxy/artoveq.pem": both,
        "/etc/haproxy/edges-ca.pem": certificates.edges,
        "bind :443": f"bind 127.0.0.1:{port}",
    }
    written = _written("haproxy.cfg", folder, ports, changes)
    with running(["haproxy", "-db", "-f", str(written)], port):
        yield port


@contextlib.contextmanager
def nginx(folder: Path, ports: tuple[int, int], certificates: Certificates) -> Iterator[int]:
    """As `haproxy`."""
    port = free_port()
    changes = {
        "/etc/nginx/artoveq.pem": certificates.server,
        "/etc/nginx/artoveq-key.pem": certificates.key,
        "/etc/nginx/edges-ca.pem": certificates.edges,
        "listen 443 ": f"listen 127.0.0.1:{port} ",
    }
    site = _written("nginx.conf", folder, ports, changes)
    kept = "".join(f"{name}_temp_path {folder};" for name in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi"))
    main = folder / "main.conf"
    main.write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log stderr warn; events {{}}\n"
        f"http {{ access_log off; {kept} include {site}; }}\n"
    )
    with running(["nginx", "-p", str(folder), "-c", str(main)], port):
        yield port


def _written(name: str, folder: Path, ports: tuple[int, int], changes: Mapping[str, object]) -> Path:
    """The file for these ports of the servers, with changes, each of which must be to something that is in it."""
    text = (FILES / name).read_text()
    every = {**changes, "10.0.0.": "127.0.0.", ":50051": f":{ports[0]}", "8080": ports[1]}
    for old, new in every.items():
        if old not in text:
            raise SettingsError(f"{FILES / name} has no {old}; say here what stands there now.")
        text = text.replace(old, str(new))
    (folder / name).write_text(text)
    return folder / name


@contextlib.contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    """A program that listens on a port of loopback.

    Raises:
        SettingsError: if it is missing, or does not start.
    """
    if shutil.which(command[0]) is None:
        raise SettingsError(f"There is no {command[0]} here; install it (Debian has a package of that name).")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _await(process, port)
        yield
    finally:
        process.terminate()
        try:
            process.wait(START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise SettingsError(f"{process.args!r} does not listen on port {port}; see what it said above.")
