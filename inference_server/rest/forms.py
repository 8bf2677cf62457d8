"""The picture in a body: the body itself, a part of a form (RFC 7578), or base64 in JSON."""

from __future__ import annotations

import base64
import binascii
import json
from email.message import Message
from email.parser import BytesHeaderParser

from wire.exceptions import PictureError

FIELD = "picture"
"""Its name in a form, and in JSON."""


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
        return _part(body, header.get_boundary("") or "")
    return body


def _json(body: bytes) -> bytes:
    try:
        found = json.loads(body)[FIELD]
        return base64.b64decode(found, validate=True)
    except (ValueError, TypeError, KeyError, binascii.Error, RecursionError) as error:
        raise FormError(f'The JSON has no picture; send {{"{FIELD}": "its file in base64"}}.') from error


def _part(body: bytes, boundary: str) -> bytes:
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary.encode())[1:]:
        head, found, data = part.partition(b"\r\n\r\n")
        if (
            found
            and BytesHeaderParser().parsebytes(head.lstrip()).get_param("name", header="content-disposition") == FIELD
        ):
            return data
    raise FormError(f"The form has no picture; send it as the file {FIELD!r}.")
