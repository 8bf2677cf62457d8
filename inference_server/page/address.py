"""Where a phone finds the page that makes it an edge: the address, and the certificate that it is to meet there."""

from __future__ import annotations

import segno
from fastapi import Request

from inference_server.rest.guard import name_of
from inference_server.self_signed import fingerprint_of, own_addresses
from inference_server.settings import Settings
from wire.addresses import authority

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def edge_address(scheme: str, host: str, port: int) -> str:
    """The address of /edge from another machine. host: the Host header of who asks on this one."""
    if name_of(host) in LOOPBACK:
        host = authority(next(iter(own_addresses()), "127.0.0.1"), port)
    return f"{scheme}://{host}/edge"


def card(request: Request, settings: Settings) -> dict[str, str | None]:
    """`url`, its QR code as an image's address, and the SHA-256 of the certificate where the server speaks TLS itself.

    The code has the fingerprint, too: what it says has come another way than over the network.
    """
    url = edge_address(request.url.scheme, request.headers.get("host", ""), request.scope["server"][1])
    certificate = fingerprint_of(settings.tls_certificate) if settings.tls_certificate else None
    return {"url": url, "certificate": certificate, "qr": code(url, certificate).svg_data_uri(border=2, light="#fff")}


def code(url: str, certificate: str | None) -> segno.QRCode:
    """The QR code of an address, and of the certificate's fingerprint behind it."""
    return segno.make(f"{url}#sha256={certificate.replace(':', '')}" if certificate else url, error="l")
