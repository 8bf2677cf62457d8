"""Whom a connection speaks for: itself, or, where it comes from a proxy of ours, the caller that the proxy names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from wire.addresses import host_alone
from wire.exceptions import SettingsError

FORWARDED = "x-forwarded-for"


@dataclass(frozen=True)
class Sender:
    """Whose a request is, before anybody has looked whether that is true.

    host: it comes from. authorization: the value of that header. certificate: that of the header in which a proxy of
    ours names the caller's; empty where none does.
    """

    host: str
    authorization: str | None = None
    certificate: str = ""


def joined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers, or metadata, by their names; what comes several times is one list (RFC 9110, 5.3)."""
    found: dict[str, str] = {}
    for name, value in headers:
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


class Proxies:
    """The proxies whose word is taken."""

    def __init__(self, networks: Sequence[str], certificate_header: str = "") -> None:
        """networks: addresses, or networks such as 10.0.0.0/8. certificate_header: in which they name certificates.

        Raises:
            SettingsError: if one is neither, or nobody is there to set the header.
        """
        if certificate_header and not networks:
            raise SettingsError(
                f"{certificate_header} is believed from proxies alone; name them in ARTOVEQ_PROXIES, or leave "
                "ARTOVEQ_PROXY_CERTIFICATE_HEADER empty."
            )
        self._certificate_header = certificate_header
        try:
            self._networks: list[IPv4Network | IPv6Network] = [ip_network(one) for one in networks]
        except ValueError as error:
            raise SettingsError(
                f"A proxy is an address or a network ({error}); write for example 10.0.0.7 or 10.0.0.0/8."
            ) from error

    def sender(self, peer: str, sent: Mapping[str, str], authorization: str | None) -> Sender:
        """Who calls, from the address of the connection, headers or metadata, and what tells the token."""
        named = sent.get(self._certificate_header, "") if self._has(peer) else ""
        return Sender(self.host(peer, sent.get(FORWARDED)), authorization, named)

    def host(self, peer: str, forwarded: str | None) -> str:
        """The host that calls, from the address of the connection and the value of X-Forwarded-For.

        Each proxy adds, at the end, the address that it was called from. What stands before the last one that is no
        proxy of ours may be anybody's invention.
        """
        host = peer
        for named in reversed((forwarded or "").split(",")):
            if not self._has(host) or not _is_address(named):
                break
            host = named
        return host_alone(host)

    def _has(self, host: str) -> bool:
        return (
            bool(self._networks)
            and _is_address(host)
            and any(ip_address(host_alone(host)) in n for n in self._networks)
        )


def _is_address(host: str) -> bool:
    try:
        ip_address(host_alone(host))
    except ValueError:
        return False
    return True
