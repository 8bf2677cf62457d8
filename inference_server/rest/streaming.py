"""The stream of remote_inference.proto over a WebSocket, for edges in browsers: one binary message for each message."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from inference_server.access.access import network_of
from inference_server.caller_logs import refusals
from inference_server.deployment import Deployment
from inference_server.greetings import or_none
from inference_server.rest.guard import STREAM
from inference_server.rest.identity import caller_of
from inference_server.streams.runner import FAILURE_LEVELS
from inference_server.streams.state import failure_of
from inference_server.streams.status import status_of
from inference_server.streams.streams import Streams
from wire.exceptions import ArtoveqError
from wire.generated import remote_inference_pb2 as pb
from wire.request_ids import REQUEST_ID

PROTOCOL = "artoveq.v1"
STATUSES = 4000
"""A stream that ends with a status is closed with this and the status's number."""
REASON_BYTES = 123
"""What the frame that closes a WebSocket has room for."""

_parsed = or_none(pb.StreamRequest.FromString)


def stream_routes(deployment: Deployment, streams: Streams) -> APIRouter:
    """/v1/stream."""
    router = APIRouter()

    @router.websocket(STREAM)
    async def stream(socket: WebSocket) -> None:
        host: str = socket.state.host
        sent = {**socket.headers, REQUEST_ID: socket.state.request_id}
        await socket.accept(PROTOCOL if PROTOCOL in socket.scope["subprotocols"] else None)
        with contextlib.suppress(WebSocketDisconnect):  # nobody is there to be told anything
            try:
                caller = await caller_of(socket)
                requests = _requests(socket)
                first = await deployment.greetings.first(requests, network_of(host))
                said = streams.responses(first, requests, caller, host, sent)
                async with contextlib.aclosing(said) as responses:
                    async for response in responses:
                        await socket.send_bytes(response.SerializeToString())
            except ArtoveqError as error:
                await _refuse(socket, error, {"request_id": sent[REQUEST_ID], "peer": host})
            else:
                await socket.close()

    return router


async def _requests(socket: WebSocket) -> AsyncIterator[pb.StreamRequest | None]:
    """Until an empty message, which says that no more will come."""
    while data := await socket.receive_bytes():
        yield _parsed(data)


async def _refuse(socket: WebSocket, error: ArtoveqError, named: dict[str, str]) -> None:
    """Says the whole sentence, since a frame that closes has no room for it."""
    code = status_of(error)
    refusals.log(
        FAILURE_LEVELS.get(code, logging.INFO), "A stream failed: %s", error, extra={**named, "code": code.name}
    )
    await socket.send_bytes(pb.StreamResponse(failure=failure_of(0, error)).SerializeToString())
    reason = str(error).encode()[:REASON_BYTES].decode(errors="ignore")
    await socket.close(STATUSES + code.value[0], reason)
