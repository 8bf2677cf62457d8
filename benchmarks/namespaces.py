"""Edges and a server in network namespaces of their own, each edge with a wire to the server; wants root and `ip`."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from artoveq.processes import serve_command
from wire.exceptions import SettingsError

SERVER, PORT = "artoveq-server", 50051
UPLINK = "uplink"
"""The edge's interface, in its namespace."""


@dataclass(frozen=True)
class Edge:
    """A namespace, and where the server is from there."""

    namespace: str
    server: str


@contextlib.contextmanager
def namespaces(edges: int = 1, mtu: int = 1500) -> Iterator[list[Edge]]:
    """The server's, and so many edges', each joined to it by a pair of virtual interfaces.

    Raises:
        SettingsError: if this machine does not let us.
    """
    made = [Edge(f"artoveq-edge-{i}", f"10.117.{i}.2") for i in range(edges)]
    try:
        _command(f"ip netns add {SERVER}")
        for i, edge in enumerate(made):
            _command(f"ip netns add {edge.namespace}")
            _command(f"ip link add {UPLINK} netns {edge.namespace} type veth peer name edge-{i} netns {SERVER}")
            for space, link, address in (
                (edge.namespace, UPLINK, f"10.117.{i}.1"),
                (SERVER, f"edge-{i}", edge.server),
            ):
                _command(f"ip -n {space} addr add {address}/24 dev {link}")
                _command(f"ip -n {space} link set {link} mtu {mtu} up")
        yield made
    finally:
        for space in (SERVER, *(edge.namespace for edge in made)):
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)


@contextlib.contextmanager
def server_in_namespace(model: Path) -> Iterator[None]:
    """A server that all edges reach."""
    command = [*inside(SERVER), *serve_command(model, "0.0.0.0", PORT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        try:
            assert server.stdout is not None
            server.stdout.readline()
            yield
        finally:
            server.terminate()


def inside(namespace: str) -> list[str]:
    """What to put before a command."""
    return ["ip", "netns", "exec", namespace]


def _command(line: str) -> None:
    made = subprocess.run(line.split(), capture_output=True, text=True, check=False)
    if made.returncode:
        raise SettingsError(f"`{line}` failed ({made.stderr.strip()}); this benchmark needs root and ip.")
