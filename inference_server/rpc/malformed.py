"""Bytes that are no message at all are the caller's fault, and are answered as such; gRPC takes them for ours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

SENTENCE = "The bytes are not a message of remote_inference.proto."


class RefuseMalformed(grpc.aio.ServerInterceptor):
    """Answers INVALID_ARGUMENT to a malformed unary request; a stream's handler gets None in place of the message."""

    def __init__(self, service: str) -> None:
        self._prefix = f"/{service}/"

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith(self._prefix):
            return handler
        changes: dict[str, Any] = {"request_deserializer": _or_none(handler.request_deserializer)}
        if handler.unary_unary:
            changes["unary_unary"] = _checked(handler.unary_unary)
        elif handler.unary_stream:
            changes["unary_stream"] = _checked_stream(handler.unary_stream)
        return handler._replace(**changes)


def _or_none(parse: Callable[[bytes], Message]) -> Callable[[bytes], Message | None]:
    def parsed(data: bytes) -> Message | None:
        try:
            return parse(data)
        except DecodeError:
            return None

    return parsed


def _checked(handle: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
    async def checked(request: Any, context: Any) -> Any:
        if request is None:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, SENTENCE)
        return await handle(request, context)

    return checked


def _checked_stream(handle: Callable[[Any, Any], AsyncIterator[Any]]) -> Callable[[Any, Any], AsyncIterator[Any]]:
    async def checked(request: Any, context: Any) -> AsyncIterator[Any]:
        if request is None:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, SENTENCE)
        async for response in handle(request, context):
            yield response

    return checked
