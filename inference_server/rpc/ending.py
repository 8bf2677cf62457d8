"""How calls end with the server: watches at once, the others when they are done, or with a sentence when time is up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc

from inference_server.rpc.requests import write_all

SENTENCE = "The server has stopped; ask again, or ask another one."
LAST_S = 0.3
"""For statuses on their way, and for gRPC to close what says nothing."""


class EndCalls(grpc.aio.ServerInterceptor):
    """Knows every open call. services: ours; calls of others, health and reflection, are watches that nobody waits for.

    It wraps the others: by then each call streams its requests, see `rpc.requests`.
    """

    def __init__(self, services: Sequence[str]) -> None:
        self._prefixes = tuple(f"/{service}/" for service in services)
        self._calls: set[asyncio.Task[Any]] = set()
        self._watches: set[asyncio.Task[Any]] = set()
        self._ending = False

    async def end(self, server: grpc.aio.Server, seconds: float) -> None:
        """Takes no new calls, lets those that are open go on for so long at most, and closes the port."""
        self._ending = True
        closing = [asyncio.create_task(server.stop(seconds + LAST_S))]  # GOAWAY
        await self._cut(self._watches)
        if self._calls:
            await asyncio.wait(self._calls, timeout=seconds)
        await self._cut(self._calls)
        closing.append(asyncio.create_task(server.stop(None)))
        await asyncio.wait(closing, timeout=LAST_S)

    async def _cut(self, tasks: set[asyncio.Task[Any]]) -> None:
        cut = set(tasks)
        for task in cut:
            task.cancel()
        if cut:
            await asyncio.wait(cut, timeout=LAST_S)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        tasks = self._calls if handler_call_details.method.startswith(self._prefixes) else self._watches
        if handler.stream_unary:
            return handler._replace(stream_unary=self._ended(handler.stream_unary, tasks))
        streamed = handler.stream_stream
        return handler._replace(
            stream_stream=self._ended(lambda requests, context: write_all(streamed(requests, context), context), tasks)
        )

    def _ended(
        self, handle: Callable[[Any, Any], Awaitable[Any]], tasks: set[asyncio.Task[Any]]
    ) -> Callable[[Any, Any], Awaitable[Any]]:
        async def ended(requests: Any, context: Any) -> Any:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            try:
                return await handle(requests, context)
            except asyncio.CancelledError:
                if not self._ending:
                    raise
                await context.abort(grpc.StatusCode.UNAVAILABLE, SENTENCE)

        return ended
