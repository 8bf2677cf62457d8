"""Hosts and ports as text: an IPv6 address stands in brackets beside a port, and bare alone."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from wire.exceptions import SettingsError


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
    """Raises SettingsError where an IPv6 address lacks its brackets: where it ends and the port begins is unclear."""
    if address.count(":") > 1 and not address.startswith("[") and "/" not in address:
        raise SettingsError(f"An IPv6 address stands in brackets: write [{address}], or [ADDRESS]:PORT.")
