"""How a request is read, before anybody knows whose it is: one message, whole, in time, of few that a host may owe.

gRPC reads the message of a unary call on its own, for as long as the caller likes, and takes bytes that are no message
for a fault of ours. So each such call is served as one that streams its requests: on the wire both are the same.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import grpc

from inference_server.caller_logs import refusals
from inference_server.greetings import UNREADABLE, Greetings, Waiting, or_none
from inference_server.rpc.details import abort
from wire.exceptions import ProtocolError, ServerOverloaded


class ReadRequests(grpc.aio.ServerInterceptor):
    """Reads the request of each call that has one.

    services: ours; of others, health and reflection, calls that go on are watches. greetings: shared with other ways to
    the server. host: whom a call comes from. wait: how long until a call is read. host_watches: of one host.
    """

    def __init__(
        self,
        services: Sequence[str],
        greetings: Greetings,
        host: Callable[[Any], str],
        wait: Callable[[Any], float],
        *,
        host_watches: int,
    ) -> None:
        self._greetings, self._host, self._wait = greetings, host, wait
        self._prefixes = tuple(f"/{service}/" for service in services)
        self._watches = Waiting(host_watches, "watching calls")

    async def first(self, requests: AsyncIterator[Any], context: Any, *, ours: bool = True) -> Any:
        """The first message of a call; None where the bytes are no message, or the caller says nothing at all.

        ours: of health and reflection nobody waits for a turn.

        Raises:
            ServerOverloaded: if the host owes too many requests.
            ProtocolError: if it does not come in time.
        """
        wait = self._wait(context) if ours else 0.0
        return await self._greetings.first(requests, self._host(context), wait)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        ours = handler_call_details.method.startswith(self._prefixes)
        serving = {
            "request_deserializer": or_none(handler.request_deserializer),
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_unary:
            return grpc.stream_unary_rpc_method_handler(self._unary(handler.unary_unary, ours), **serving)
        if handler.unary_stream:
            streamed = self._streamed(handler.unary_stream, ours)
            return grpc.stream_stream_rpc_method_handler(streamed if ours else self._watching(streamed), **serving)
        if handler.stream_stream and not ours:
            return grpc.stream_stream_rpc_method_handler(self._watching(handler.stream_stream), **serving)
        return handler._replace(request_deserializer=serving["request_deserializer"])

    async def _read(self, requests: AsyncIterator[Any], context: Any, ours: bool) -> Any:
        try:
            request = await self.first(requests, context, ours=ours)
        except ServerOverloaded as error:
            await self._refuse(error, context)
        except ProtocolError as error:
            await abort(context, error)
        if request is None:
            await abort(context, ProtocolError(UNREADABLE))
        return request

    def _unary(self, handle: Callable[[Any, Any], Awaitable[Any]], ours: bool) -> Callable[[Any, Any], Awaitable[Any]]:
        async def unary(requests: AsyncIterator[Any], context: Any) -> Any:
            return await handle(await self._read(requests, context, ours), context)

        return unary

    def _streamed(self, handle: Callable[[Any, Any], Any], ours: bool) -> Callable[[Any, Any], Awaitable[None]]:
        async def streamed(requests: AsyncIterator[Any], context: Any) -> None:
            await write_all(handle(await self._read(requests, context, ours), context), context)

        return streamed

    def _watching(self, handle: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Awaitable[None]]:
        async def watching(requests: AsyncIterator[Any], context: Any) -> None:
            with contextlib.ExitStack() as stack:
                try:
                    stack.enter_context(self._watches.one(self._host(context)))
                except ServerOverloaded as error:
                    await self._refuse(error, context)
                await write_all(handle(requests, context), context)

        return watching

    async def _refuse(self, error: ServerOverloaded, context: Any) -> None:
        named = {"peer": self._host(context), "code": grpc.StatusCode.RESOURCE_EXHAUSTED.name}
        refusals.info("A call failed: %s", error, extra=named)
        await abort(context, error)


async def write_all(responses: Any, context: Any) -> None:
    """Of a handler in either of its forms: one that yields its responses, or one that writes them."""
    if inspect.isawaitable(responses):
        await responses
        return
    async with contextlib.aclosing(responses):
        async for response in responses:
            await context.write(response)
