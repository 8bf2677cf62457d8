"""oci://HOST[:PORT]/NAME[:TAG][@sha256:DIGEST]: where a model is in a registry."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from wire.exceptions import UsageError

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
_WORD = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
PATTERN = re.compile(
    rf"oci:/{{1,2}}(?P<host>{_HOST})/(?P<name>{_WORD}(?:/{_WORD})*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@sha256:(?P<digest>[0-9a-f]{64}))?",
    re.ASCII,
)
"""One slash is what a `Path` leaves of two."""
LATEST = "latest"


@dataclass(frozen=True)
class Address:
    """A model in a registry. digest: of its OCI manifest, a SHA-256 as hexadecimal digits, or empty: the tag's."""

    host: str
    name: str
    tag: str = LATEST
    digest: str = ""

    def __str__(self) -> str:
        return f"oci://{self.host}/{self.name}" + (f"@sha256:{self.digest}" if self.digest else f":{self.tag}")

    @property
    def local(self) -> bool:
        """Whether the registry runs on this machine, where no TLS is wanted."""
        host = re.sub(r":[0-9]+$", "", self.host).strip("[]")
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


def is_address(model: str | Path) -> bool:
    """Whether it is an address in a registry, and no folder."""
    return str(model).startswith("oci:/")


def parse_address(text: str) -> Address:
    """Reads an address.

    Raises:
        UsageError: if it is none.
    """
    match = PATTERN.fullmatch(text)
    if match is None or len(match["name"]) > 255:
        if "@" in text.partition("//")[2].partition("/")[0]:  # which may be a password
            raise UsageError("An address of a registry names no user; log in with `docker login HOST` instead.")
        raise UsageError(
            f"{text[:200]!r} is no model in a registry; write oci://HOST/NAME:TAG, or oci://HOST/NAME@sha256:DIGEST."
        )
    return Address(match["host"], match["name"], match["tag"] or LATEST, match["digest"] or "")


def split_models(text: str) -> list[str]:
    """Folders and addresses from one text in which colons separate them."""
    return [one[0] for one in re.finditer(rf"(?:{PATTERN.pattern})(?=:|$)|[^:]+", text, re.ASCII)]
