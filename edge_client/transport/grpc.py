"""The stream as a gRPC call."""

from __future__ import annotations

import asyncio
from typing import cast

import grpc

from edge_client.errors import UNAVAILABLE, status_error
from edge_client.transport.base import Metadata
from wire.exceptions import ArtoveqError, ServerUnavailable
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub

OVERHEAD_BYTES = 5 + 9 + 52
"""gRPC's prefix, HTTP/2's frame, TCP/IP."""
WINDOW_BYTES = 2 * 13
"""HTTP/2's window updates: what was received is acknowledged with the next message."""
WRITE_FAILED = "Internal error from Core"
"""What gRPC itself says, under a code of no meaning, where a message met a connection that was going away."""


class GrpcTransport:
    """`edge_client.transport.base.Transport` over a channel to `address`."""

    overhead_bytes = OVERHEAD_BYTES
    acknowledgement_bytes = WINDOW_BYTES

    def __init__(self, channel: grpc.aio.Channel, address: str) -> None:
        self._stub = RemoteInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        self._address, self._closed = address, False

    async def open(self, metadata: Metadata) -> None:
        """Begins the call; whether somebody answers shows with the first response."""
        self._call = self._stub.Stream(metadata=metadata)

    async def send(self, message: pb.StreamRequest) -> None:
        """One message. Raises ServerError where the call has ended."""
        try:
            await self._call.write(message)
        except asyncio.CancelledError:
            if not self._closed:
                raise
            raise ServerUnavailable(f"The stream to {self._address} was left meanwhile.") from None
        except (grpc.RpcError, asyncio.InvalidStateError):
            raise await self._reason() from None

    async def receive(self) -> pb.StreamResponse:
        """The next response. Raises ServerError where the call has ended."""
        try:
            message = await self._call.read()
        except (grpc.RpcError, asyncio.InvalidStateError):
            raise await self._reason() from None
        if message is grpc.aio.EOF:
            raise await self._reason()
        return cast(pb.StreamResponse, message)

    async def close(self) -> None:
        """Cancels the call. What is being sent on it ends as gRPC has it: cancelled, as if its task were."""
        self._closed = True
        self._call.cancel()

    async def _reason(self) -> ArtoveqError:
        """Why the call ended, from its status."""
        code, details = (await self._call.code()).value[0], await self._call.details()
        if code == 0:
            code, details = UNAVAILABLE, "the server ended the stream"
        elif details == WRITE_FAILED:
            code, details = UNAVAILABLE, "the connection broke"
        return status_error(code, details or "", self._address)
