"""The certificate that a caller showed to a proxy of ours, as the proxy names it in a header."""

from __future__ import annotations

import base64
import re

from cryptography import x509

from wire.exceptions import AccessDenied
from wire.shown import shown

UNREADABLE = (
    "The proxy names a client certificate that cannot be read; have it set the header anew for each request, as "
    "Client-Cert (RFC 9440) or X-Forwarded-Client-Cert."
)
PAIR = re.compile(r'\s*([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^";,]*)\s*([;,]|$)')
"""Of X-Forwarded-Client-Cert: a key and its value; a comma ends what one proxy says."""


def subject_of(header: str) -> str:
    """The certificate's subject, as RFC 4514 writes it, from a header's value.

    That is RFC 9440's: the certificate as DER, in base64 between colons. Or Envoy's: pairs such as Subject="CN=gate" or
    Hash=…, of which the last proxy's count.

    Raises:
        AccessDenied: if it is neither, or names nobody.
    """
    value = header.strip()
    subject = _of_certificate(value[1:-1]) if value.startswith(":") else _of_pairs(value)
    if not subject:
        raise AccessDenied(UNREADABLE)
    return shown(subject, len(subject))


def _of_certificate(encoded: str) -> str:
    try:
        return x509.load_der_x509_certificate(base64.b64decode(encoded, validate=True)).subject.rfc4514_string()
    except ValueError:
        return ""


def _of_pairs(value: str) -> str:
    said: dict[str, str] = {}
    at, end = 0, ","
    while at < len(value):
        if end == ",":
            said = {}
        found = PAIR.match(value, at)
        if found is None:
            return ""
        key, text, end = found.groups()
        said[key.lower()] = re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text
        at = found.end()
    if end == ",":
        return ""  # the last proxy says nothing
    digest = said.get("hash", "")
    return said.get("subject", "") or (f"SHA-256 {digest}" if digest else "")
