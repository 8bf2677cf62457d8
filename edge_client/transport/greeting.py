"""Who is behind an address where gRPC hears nothing in time: how it answers the greeting of HTTP/2."""

from __future__ import annotations

import asyncio
import contextlib

from edge_client.errors import HTTP_PORT

GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""HTTP/2's preface and empty settings (RFC 9113, 3.4)."""
SETTINGS = 4
"""The type of a frame, its fourth byte: what a server of HTTP/2 says first."""
FRAME_BYTES = 9
BUSY = "The server at {0} did not answer within {1:g} s: it has too much to do; try again, or look at its page."
SILENT = (
    "{0} takes connections and says nothing within {1:g} s: it is no port of gRPC, or has too much to do; "
    "`artoveq serve` says its ports when it starts."
)
UNREACHED = "No packet comes back from {0}; check host and port, and the firewalls on the way."


async def why_silent(address: str, seconds: float) -> str:
    """A sentence for a server that did not answer within so many seconds; asks it for as long again."""
    host, _, port = address.rpartition(":")
    writer, said = None, b""
    with contextlib.suppress(OSError, ValueError, asyncio.TimeoutError, asyncio.IncompleteReadError):
        opening = asyncio.open_connection(host.strip("[]"), int(port))
        reader, writer = await asyncio.wait_for(opening, seconds)
        writer.write(GREETING)
        said = await asyncio.wait_for(reader.readexactly(FRAME_BYTES), seconds)
    if writer is None:
        return UNREACHED.format(address)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    sentence = HTTP_PORT if said.startswith(b"HTTP/1") else BUSY if said[3:4] == bytes([SETTINGS]) else SILENT
    return sentence.format(address, seconds)
