"""Hosts and ports as text: an IPv6 address stands in brackets beside a port, and bare alone."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from wire.exceptions import SettingsError
from wire.shown import without_secrets


def authority(host: str, port: int) -> str:
    """HOST:PORT, or [HOST]:PORT."""
    bare = host.strip("[]")
    return f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"


def host_alone(host: str) -> str:
    """A host as it is shown and compared: without brackets, an IPv4 address that came over IPv6 as what it is."""
    bare = host.strip().removeprefix("[").removesuffix("]")
    try:
        address = ip_address(bare)
    except ValueError:
        return bare
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def check_address(address: str) -> None:
    """Raises SettingsError where an IPv6 address lacks its brackets, or where it is no address of gRPC."""
    if address.startswith(("http://", "https://")):
        raise SettingsError(
            f"{without_secrets(address)!r} is a page's address; write HOST:PORT, with the port of gRPC."
        )
    if address.count(":") > 1 and not address.startswith("[") and "/" not in address:
        raise SettingsError(f"An IPv6 address stands in brackets: write [{address}], or [ADDRESS]:PORT.")
