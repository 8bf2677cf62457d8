"""The picture in a body: the body itself, a part of a form (RFC 7578), or base64 in JSON."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from email.message import Message

from inference_server.rest.received import parsed
from wire.exceptions import PictureError

FIELD = "picture"
"""Its name in a form, and in JSON."""
MOST_PARTS, MOST_HEAD_BYTES = 16, 4096
"""Of a form, which is searched no further, and of what a part says of itself."""

DISPOSITION = re.compile(rb"(?im)^content-disposition:([^\r\n]*)")


class FormError(PictureError):
    """The body is of a kind that holds a picture under a name, and has none there."""


def picture_in(content_type: str, body: bytes) -> bytes:
    """The picture's file.

    Raises:
        FormError: if the body does not hold one where its kind has it.
    """
    header = Message()
    header["Content-Type"] = content_type
    kind = header.get_content_type()
    if kind == "application/json":
        return _json(body)
    if kind == "multipart/form-data":
        return _part(body, _boundary(header))
    return body


def _json(body: bytes) -> bytes:
    try:
        found = parsed(body)[FIELD]
        return base64.b64decode(found, validate=True)
    except (ValueError, TypeError, KeyError, binascii.Error) as error:
        raise FormError(f'The JSON has no picture; send {{"{FIELD}": "its file in base64"}}.') from error


def _boundary(header: Message) -> str:
    try:
        return header.get_boundary("") or ""
    except ValueError:  # in a character set with an impossible name
        return ""


def _part(body: bytes, boundary: str) -> bytes:
    for start, end in _parts(body, b"\r\n--" + boundary.encode()):
        data = body.find(b"\r\n\r\n", start, min(end, start + MOST_HEAD_BYTES))
        if data >= 0 and _name(body[start:data]) == FIELD:
            return body[data + 4 : end]
    raise FormError(f"The form has no picture; send it as the file {FIELD!r}.")


def _name(head: bytes) -> object:
    """What a part's head calls it; the other headers are not read."""
    found, header = DISPOSITION.search(head), Message()
    header["Content-Disposition"] = found[1].decode("latin-1") if found else ""
    return header.get_param("name", header="Content-Disposition")


def _parts(form: bytes, delimiter: bytes) -> Iterator[tuple[int, int]]:
    """Where each of the first parts begins and ends; millions of them are not looked at."""
    found = -2 if form.startswith(delimiter[2:]) else form.find(delimiter)  # at the start no line ends before it
    for _ in range(MOST_PARTS):
        if found == -1:
            return
        start = found + len(delimiter)
        found = form.find(delimiter, start)
        yield start, found if found >= 0 else len(form)
