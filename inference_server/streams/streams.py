"""The streams that are open, whatever carries them: how one begins, what is said on it, and how it ends."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping

from inference_server import metrics
from inference_server.access import Caller
from inference_server.access.turns import MESSAGE_S, Turns, timed
from inference_server.caller_logs import edges
from inference_server.deployment import Deployment
from inference_server.greetings import UNREADABLE
from inference_server.model import Model
from inference_server.streams.balance import SETTLED_S
from inference_server.streams.runner import StreamRunner
from inference_server.tracing import StreamTrace
from wire.exceptions import AccessDenied, ModelMismatch, ProtocolError, ServerUnavailable
from wire.generated import remote_inference_pb2 as pb
from wire.request_ids import request_id_of

VERSION = "1"
AGE_JITTER = 0.2
"""Of a stream's greatest age: by so much of it an edge may be told earlier."""


class Streams:
    """Of one deployment. Use from the event loop only."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._open: set[StreamRunner] = set()
        self._changes = 0

    def drain(self) -> None:
        """Ends every stream once its pictures are answered, edges that can go elsewhere first; new ones are refused."""
        for stream in self._open:
            stream.drain()

    def staying(self, now: float) -> int:
        """Streams that are not about to move; an edge that was told to, and is still here later, finds no way."""
        return sum(now >= stream.told_to_move + SETTLED_S for stream in self._open)

    def movable(self, now: float) -> list[StreamRunner]:
        """Of those the ones that may be told to, the oldest first."""
        settled = (one for one in self._open if now >= max(one.began, one.told_to_move) + SETTLED_S)
        return sorted((one for one in settled if one.state.can_move), key=lambda one: one.began)

    def follow(self) -> None:
        """Other versions of models are for edges now than were: tells those whom it concerns."""
        for stream in self._open:
            stream.follow(self._deployment.models)

    async def end_of(self, model: Model, seconds: float) -> None:
        """Ends the streams of a model that is no longer served, when their pictures are answered, or after so long."""
        gone = [stream for stream in self._open if stream.model is model]
        for stream in gone:
            stream.drain()
        await self.gone_of(model, seconds)
        for stream in self._open.intersection(gone):
            stream.refuse(ModelMismatch("The server has this model no longer; fetch the one that it has."))

    async def gone_of(self, model: Model, seconds: float) -> None:
        """Returns when a model has no stream, or after so long."""
        until = time.monotonic() + seconds
        while model.streams and time.monotonic() < until:  # noqa: ASYNC110 (they end one by one)
            await asyncio.sleep(0.02)

    def end_revoked(self) -> None:
        """Ends the streams of tokens that are no longer there; to be called now and then."""
        access, now = self._deployment.access, time.monotonic()
        if (changes := access.changes(now)) == self._changes:
            return
        self._changes = changes
        for stream in self._open:
            try:
                access.check(stream.caller, now)
            except AccessDenied as error:
                stream.refuse(error)

    async def responses(
        self,
        first: pb.StreamRequest | None,
        requests: AsyncIterator[pb.StreamRequest | None],
        caller: Caller,
        host: str,
        sent: Mapping[str, str],
    ) -> AsyncGenerator[pb.StreamResponse, None]:
        """What is said on a stream, from its first message on.

        requests: what the edge says after `first`; None stands for what is no message. caller, host: whose it is.
        sent: metadata, or headers.

        Raises:
            ArtoveqError: the status that the stream ends with, where it is not OK.
        """
        model, hello = await self._begun(first, caller)
        edge = self._deployment.edges.join(caller.name, hello.name, host, model.manifest)
        named = {"request_id": request_id_of(sent), "caller": caller.name, "edge": edge.name}
        trace = StreamTrace(named["request_id"], sent)
        edges.info("Edge %s has come.", edge.name, extra=named)
        stream = StreamRunner(self._deployment, model, hello, edge, caller, named["request_id"], trace, self._age_s())
        self._open.add(stream)
        model.streams += 1
        stream.follow(self._deployment.models)
        metrics.STREAMS.inc()
        reader = asyncio.create_task(_read(requests, stream, self._deployment.access.turns))
        try:
            welcome = pb.Welcome(server_version=VERSION, reads_coded=model.codec.coder is not None, reads_bundles=True)
            yield pb.StreamResponse(welcome=welcome)
            while (response := await stream.next_response()) is not None:
                yield response
            if stream.refusal is not None:
                raise stream.refusal
            if reader.done() and (error := reader.exception()) is not None:
                raise error
            if self._deployment.draining:
                raise ServerUnavailable("The server is stopping.")
        finally:
            reader.cancel()
            self._open.discard(stream)
            model.streams -= 1
            stream.close()
            trace.end()
            said = {**named, "pictures": edge.pictures}
            edges.info("Edge %s has gone; %d of its pictures were answered.", edge.name, edge.pictures, extra=said)
            self._deployment.edges.leave(edge)
            self._deployment.access.end_stream(caller)
            metrics.STREAMS.dec()

    def _age_s(self) -> float:
        """How old a stream may become; streams that began together do not move together."""
        most = self._deployment.settings.stream_age_seconds
        return most * random.uniform(1 - AGE_JITTER, 1) if most else math.inf

    async def _begun(self, first: pb.StreamRequest | None, caller: Caller) -> tuple[Model, pb.Hello]:
        if first is None or first.WhichOneof("message") != "hello":
            raise ProtocolError("The first message of a stream must be `hello`.")
        model = self._deployment.models.of_fingerprint(first.hello.fingerprint)
        await self._deployment.access.turns.turn(caller.name)
        self._deployment.refuse_when_draining()
        self._deployment.access.begin_stream(caller)
        return model, first.hello


async def _read(requests: AsyncIterator[pb.StreamRequest | None], stream: StreamRunner, turns: Turns) -> None:
    async def read() -> None:
        async for request in requests:
            if request is None:
                raise ProtocolError(UNREADABLE)
            await turns.turn(stream.caller.name)
            turns.worked(stream.caller.name, MESSAGE_S)
            await stream.receive(request)

    try:
        await timed(read(), stream.cost)
    except Exception:  # whatever it was, the stream ends with it
        stream.end()
        raise
    stream.input_ended()
