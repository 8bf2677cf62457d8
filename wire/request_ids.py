"""Request ids: one for a stream or call; picture 7 of a stream has `ID-7` on both sides, without a byte for it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

REQUEST_ID = "x-request-id"
_ALLOWED = re.compile(r"[\w.\-]{1,64}", re.ASCII)


def new_request_id() -> str:
    """Sixteen hexadecimal digits."""
    return secrets.token_hex(8)


def request_id_of(metadata: Mapping[str, str]) -> str:
    """The caller's, where it is one that a log can hold; else a new one."""
    sent = metadata.get(REQUEST_ID, "")
    return sent if _ALLOWED.fullmatch(sent) else new_request_id()
