"""How a request is read, before anybody knows whose it is: one message, whole, in time, of few that a host may owe.

gRPC reads the message of a unary call on its own, for as long as the caller likes, and takes bytes that are no message
for a fault of ours. So each such call is served as one that streams its requests: on the wire both are the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from inference_server.caller_logs import refusals
from inference_server.rpc.details import abort
from wire.exceptions import ProtocolError, ServerOverloaded

SENTENCE = "The bytes are not a message of remote_inference.proto."


class Waiting:
    """What hosts have begun and not finished: at most so much of each."""

    def __init__(self, most: int, what: str) -> None:
        self._most, self._what = most, what
        self._of: Counter[str] = Counter()

    @contextlib.contextmanager
    def one(self, host: str) -> Iterator[None]:
        """One more of the host's, until the block ends.

        Raises:
            ServerOverloaded: if there are too many.
        """
        if self._of[host] >= self._most:
            raise ServerOverloaded(f"{host} has {self._most} {self._what} already; finish one.")
        self._of[host] += 1
        try:
            yield
        finally:
            self._of[host] -= 1
            if not self._of[host]:
                del self._of[host]


class ReadRequests(grpc.aio.ServerInterceptor):
    """Reads the request of each call that has one.

    service: ours; of others, health and reflection, calls that go on are watches. host: whom a call comes from.
    wait: how long until a call is read. seconds: that a request may take. host_calls: calls of one host that may owe
    theirs. host_watches: of one host.
    """

    def __init__(
        self,
        service: str,
        host: Callable[[Any], str],
        wait: Callable[[Any], float],
        *,
        seconds: float,
        host_calls: int,
        host_watches: int,
    ) -> None:
        self._prefix, self._host, self._wait, self._seconds = f"/{service}/", host, wait, seconds
        self._owed = Waiting(host_calls, "calls whose request has not arrived")
        self._watches = Waiting(host_watches, "watching calls")

    async def first(self, requests: AsyncIterator[Any], context: Any, *, ours: bool = True) -> Any:
        """The first message of a call; None where the bytes are no message, or the caller says nothing at all.

        ours: of health and reflection nobody waits for a turn.

        Raises:
            ServerOverloaded: if the host owes too many requests.
            ProtocolError: if it does not come in time.
        """
        with self._owed.one(self._host(context)):
            if ours and (wait := self._wait(context)):
                await asyncio.sleep(wait)
            try:
                return await asyncio.wait_for(anext(aiter(requests), None), self._seconds)
            except asyncio.TimeoutError:
                raise ProtocolError(f"The request did not arrive within {self._seconds:g} s; send it again.") from None

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        ours = handler_call_details.method.startswith(self._prefix)
        serving = {
            "request_deserializer": _or_none(handler.request_deserializer),
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
            await abort(context, ProtocolError(SENTENCE))
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


def _or_none(parse: Callable[[bytes], Message]) -> Callable[[bytes], Message | None]:
    def parsed(data: bytes) -> Message | None:
        try:
            return parse(data)
        except DecodeError:
            return None

    return parsed
