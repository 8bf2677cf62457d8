"""Whom a connection speaks for: itself, or, where it comes from a proxy of ours, the host that the proxy names."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from wire.addresses import host_alone
from wire.exceptions import SettingsError

FORWARDED = "x-forwarded-for"


class Proxies:
    """The proxies whose word is taken."""

    def __init__(self, networks: Sequence[str]) -> None:
        """networks: addresses, or networks such as 10.0.0.0/8.

        Raises:
            SettingsError: if one is neither.
        """
        try:
            self._networks: list[IPv4Network | IPv6Network] = [ip_network(one) for one in networks]
        except ValueError as error:
            raise SettingsError(
                f"A proxy is an address or a network ({error}); write for example 10.0.0.7 or 10.0.0.0/8."
            ) from error

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
