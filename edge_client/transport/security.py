"""The connection to a server: plain, TLS or mutual TLS, with a token or without."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import grpc

from edge_client.transport.base import Metadata
from wire.addresses import check_address
from wire.exceptions import SettingsError

log = logging.getLogger(__name__)

OPTIONS = [
    ("grpc.enable_retries", 0),
    # A server that is back is noticed within seconds; gRPC's own pauses grow to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # Its probes of the bandwidth would take bytes of the uplink, for windows that our messages never fill.
    ("grpc.http2.bdp_probe", 0),
    # Else a second channel to an address shares the first one's connection, and so its server.
    ("grpc.use_local_subchannel_pool", 1),
]


@dataclass(frozen=True)
class Security:
    """How a server is spoken to. Paths are those of PEM files.

    Attributes:
        tls: whether the connection is encrypted.
        ca_file: whose certificates are trusted, in place of the system's.
        certificate: the edge's own, for a server that wants one (mutual TLS).
        key: its private key.
        token: sent with every call; over TLS alone can nobody on the way read it.
    """

    tls: bool = False
    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    token: str | None = None

    def __repr__(self) -> str:
        """Without the token, so that no log has it."""
        return f"Security(tls={self.tls}, token={'…' if self.token else None})"

    def open(self, address: str) -> grpc.aio.Channel:
        """A channel to HOST:PORT, over a connection of its own.

        Raises:
            SettingsError: if the address is none, a file cannot be read, or the files do not belong together.
        """
        check_address(address)
        if not self.tls:
            if self.ca_file or self.certificate or self.key:
                raise SettingsError("Certificates are for TLS; ask for it with --tls.")
            if self.token and not _is_here(address):
                log.warning("The token goes to %s unencrypted: whoever listens can use it; ask for TLS.", address)
            return grpc.aio.insecure_channel(address, options=OPTIONS)
        if (self.certificate is None) != (self.key is None):
            raise SettingsError("Mutual TLS takes a certificate and its key; give both.")
        files = (self.ca_file, self.key, self.certificate)
        credentials = grpc.ssl_channel_credentials(*(_read(path) for path in files))
        return grpc.aio.secure_channel(address, credentials, options=OPTIONS)

    @property
    def metadata(self) -> Metadata:
        """What goes with every call."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()


PLAIN = Security()
"""No encryption, no token."""


def _is_here(address: str) -> bool:
    """Whether what is sent to HOST:PORT stays on this machine."""
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].rpartition("/")[2].strip("[]")
    with contextlib.suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")


def _read(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error.strerror}); name a PEM file.") from error
