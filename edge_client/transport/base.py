"""The seam: what carries the messages of a stream. A new one is one file with these four verbs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from wire.generated import remote_inference_pb2 as pb

Metadata = tuple[tuple[str, str], ...]


class Transport(Protocol):
    """One stream of messages to a server, and of its responses back, both in order.

    Receipts and pongs come with the server's monotonic clock, which `edge_client.rate.Uplink` needs.
    """

    overhead_bytes: int
    """What a message takes on the link beside its own bytes."""
    acknowledgement_bytes: int
    """What the next message carries more where something was received since the last one."""

    async def open(self, metadata: Metadata) -> None:
        """Connects, or raises ServerError. metadata: names the request and carries the token."""
        ...

    async def send(self, message: pb.StreamRequest) -> None:
        """Hands one message over; one call at a time. Raises ServerError where the stream has ended."""
        ...

    async def receive(self) -> pb.StreamResponse:
        """The next response; one call at a time. Raises ServerError where the stream has ended."""
        ...

    async def close(self) -> None:
        """Ends the stream. What was sent may be lost."""
        ...


OpenTransport = Callable[[], Transport]
"""Makes the transport of each new stream."""
