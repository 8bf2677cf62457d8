"""A stream as a gRPC call: what is sent while it is closed."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from edge_client.transport.grpc import GrpcTransport
from wire.exceptions import ServerUnavailable
from wire.generated import remote_inference_pb2 as pb


class Cancelled:
    """A call whose writes end as those of one that is cancelled meanwhile."""

    def __init__(self) -> None:
        self.over = asyncio.Event()

    async def write(self, message: Any) -> None:
        await self.over.wait()
        raise asyncio.CancelledError

    def cancel(self) -> None:
        self.over.set()


async def sending(*, closed: bool) -> None:
    async with grpc.aio.insecure_channel("localhost:1") as channel:
        transport = GrpcTransport(channel, "localhost:1")
        transport._call = Cancelled()
        task = asyncio.create_task(transport.send(pb.StreamRequest()))
        await asyncio.sleep(0)
        await (transport.close() if closed else asyncio.sleep(0, task.cancel()))
        await task


def test_what_is_sent_on_a_stream_that_is_closed_fails_and_cancels_nobody() -> None:
    with pytest.raises(ServerUnavailable, match="was left meanwhile"):
        asyncio.run(sending(closed=True))


def test_who_is_cancelled_stays_so() -> None:
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(sending(closed=False))
