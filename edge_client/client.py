"""The client: a picture in, an answer within the budget out. `AsyncClient` does the work, `Client` wraps it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from types import TracebackType
from typing import Any, TypeVar

import grpc

from edge_client.channel import PLAIN, Security
from edge_client.encoder import Encoder
from edge_client.errors import translated
from edge_client.provision import provision
from edge_client.rate import CapacityEstimator, Overheads, choose_level
from edge_client.report import report_of
from edge_client.results import Prediction, Result
from edge_client.spool import Kept, Spool
from edge_client.stream import MESSAGE_OVERHEAD, Stream
from wire.artifact import load_artifact
from wire.bitplanes import Indices
from wire.entropy import EntropyCoder, write_planes
from wire.exceptions import LevelError, ProtocolError, ServerError, ServerUnavailable
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceStub
from wire.pictures import Picture

PLANES_MESSAGE_BYTES = 18
"""What the fields of a Planes message take beside the planes themselves, at most."""
ATTEMPTS = 2
"""A picture whose stream breaks is sent once more on a fresh one."""
PATIENCE_S = 30.0
"""How long a late answer is waited for. It is late, not lost."""

T = TypeVar("T")


class AsyncClient:
    """Classifies pictures on a server, at the rate that the link allows.

    address: "HOST:PORT". model: folder of the artifact; None fetches the encoder from the server.
    name: what the server's page calls this edge; empty: the host that it comes from.
    security: TLS and the token, where the server wants them.

        async with AsyncClient("localhost:50051") as client:
            result = await client.predict(picture, budget=0.05)
    """

    def __init__(
        self,
        address: str,
        model: str | None = None,
        *,
        name: str = "",
        security: Security = PLAIN,
        connect_timeout: float = 5.0,
    ) -> None:
        self.address, self.name, self._security = address, name, security
        self.connect_timeout = connect_timeout
        self.estimator = CapacityEstimator()
        self.encoder: Encoder | None = None
        self._model = model
        self._stream: Stream | None = None
        self._opening = asyncio.Lock()
        self._overheads = Overheads()
        self._level: int | None = None

    async def __aenter__(self) -> AsyncClient:
        self._channel = self._security.open(self.address)
        self._stub = RemoteInferenceStub(self._channel)  # type: ignore[no-untyped-call]
        try:
            if self._model is not None:
                self.encoder = Encoder(load_artifact(self._model, edge=True))
            else:
                self.encoder = Encoder(
                    await provision(self._channel, self.address, self.connect_timeout, self._security.metadata)
                )
            await self._connected()
        except BaseException:
            await self._channel.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._stream is not None and self._stream.broken is None:
            await self._stream.close()
        await self._channel.close()

    @property
    def capacity(self) -> float | None:
        """Bits per second as measured so far."""
        return self.estimator.capacity

    async def predict(
        self,
        picture: Picture,
        *,
        budget: float = 0.05,
        level: int | None = None,
        progressive: bool = False,
        top_k: int = 1,
        enough: float = 1.0,
        on_prediction: Callable[[Prediction], None] | None = None,
    ) -> Result:
        """The answer for one picture.

        One-shot: the level (or, if None, the highest that arrives within `budget` seconds) is sent
        at once, and the one answer is waited for even when it is late. Progressive: planes go out
        one after the other, and answers come in, until the level, the deadline, or a best class of
        at least probability `enough`; the first answer is waited for even when it is late.

        Raises:
            LevelError: if the model does not have the level, or cannot be used progressively.
            ServerUnavailable: if the connection fails, once more after one reconnect.
            ServerOverloaded, ModelMismatch, ProtocolError: as the server says.
        """
        assert self.encoder is not None, "the client is used in an `async with`"
        manifest = self.encoder.manifest
        if level is not None:
            manifest.check_level(level)
        if progressive and not manifest.prefix_consistent:
            raise LevelError(
                f"The {manifest.family} codebook of {manifest.name} needs all planes of a level before it can "
                "answer; leave progressive mode off, or use a progressive model."
            )
        began = time.monotonic()
        for attempt in range(ATTEMPTS):
            try:
                stream = await self._connected()
                coder = self.encoder.coder if stream.reads_coded_planes else None
                result, indices = self._encode(picture, budget, level, progressive, stream.round_trip, coder)
                talk = _Talk(stream, result, indices, coder, began, top_k, on_prediction)
                await (talk.progressive(enough, self.capacity) if progressive else talk.one_shot())
            except ServerUnavailable:
                if attempt + 1 == ATTEMPTS:
                    raise
                continue
            self._learn(result)
            return result
        raise AssertionError("unreachable")

    async def report(
        self, result: Result, picture: Picture, *, thumbnail: bool = False, true_capacity: float | None = None
    ) -> None:
        """Shows a result on the server's page. It takes some 40 bytes of the uplink, 300 more with a thumbnail.

        A server that cannot be reached now is told nothing.
        """
        assert self.encoder is not None, "the client is used in an `async with`"
        size = self.encoder.manifest.preprocessing.size
        with contextlib.suppress(ServerError):
            stream = await self._connected()
            await stream.report(report_of(result, picture, size, thumbnail=thumbnail, true_capacity=true_capacity))

    def keep(self, spool: Spool, picture: Picture, context: dict[str, Any]) -> list[Kept]:
        """Puts a picture into the spool, at its highest level, for `deliver`; returns what had to go for it."""
        assert self.encoder is not None, "the client is used in an `async with`"
        level = self.encoder.manifest.max_level
        planes = write_planes(None, self.encoder.encode(picture, level), level, 1, level)
        return spool.keep(self.encoder.manifest.fingerprint, level, planes, context)

    async def deliver(self, kept: Kept, *, top_k: int = 1) -> Prediction:
        """The answer for a picture from a spool. Asked again, the server repeats it and counts the picture once.

        Raises:
            ServerUnavailable, ServerOverloaded: try again later.
            ModelMismatch: if it was encoded for another model; it cannot be answered any more.
        """
        began = time.monotonic()
        request = pb.PredictRequest(
            fingerprint=kept.fingerprint, level=kept.level, planes=kept.planes, top_k=top_k, key=kept.key
        )
        try:
            answer = await self._stub.Predict(request, metadata=self._security.metadata, timeout=PATIENCE_S)
        except grpc.RpcError as error:
            raise translated(error, self.address) from error
        return Prediction.from_message(answer, time.monotonic() - began)

    def _encode(
        self,
        picture: Picture,
        budget: float,
        level: int | None,
        progressive: bool,
        round_trip: float,
        coder: EntropyCoder | None,
    ) -> tuple[Result, Indices]:
        assert self.encoder is not None
        manifest = self.encoder.manifest
        if level is None and progressive:
            level = manifest.max_level
        elif level is None:
            overheads = replace(self._overheads, round_trip=round_trip)
            chosen = choose_level(
                self.capacity,
                budget,
                overheads,
                level_bits={
                    row.level: 8 * (row.payload_bytes if coder else row.level * manifest.plane_bytes)
                    for row in manifest.levels
                },
                message_bits=8 * (PLANES_MESSAGE_BYTES + MESSAGE_OVERHEAD),
                previous=self._level,
            )
            self._level = chosen
            # Not even the lowest level may be in time: it is sent all the same, late is better than nothing.
            level = chosen or manifest.level_numbers[0]
        began = time.monotonic()
        indices = self.encoder.encode(picture, level)
        return Result(level, budget, self.capacity, round_trip, time.monotonic() - began), indices

    def _learn(self, result: Result) -> None:
        """What the next deadline will pay for, as this picture paid for it."""
        newest = result.predictions[-1]
        self._overheads = Overheads(encode=result.encode, queue=newest.queue, decode=newest.decode)

    async def _connected(self) -> Stream:
        """The stream, opened anew where it has broken."""
        assert self.encoder is not None
        async with self._opening:
            if self._stream is None or self._stream.broken is not None:
                stream = Stream(self._stub, self.address, self.estimator, self._security.metadata)
                await stream.open(self.encoder.manifest.fingerprint, self.name, self.connect_timeout)
                self._stream = stream
            return self._stream


class _Talk:
    """What is said about one picture on one stream."""

    def __init__(
        self,
        stream: Stream,
        result: Result,
        indices: Indices,
        coder: EntropyCoder | None,
        began: float,
        top_k: int,
        on_prediction: Callable[[Prediction], None] | None,
    ) -> None:
        self.stream, self.result, self.indices, self.coder = stream, result, indices, coder
        self.began, self.top_k, self.on_prediction = began, top_k, on_prediction
        self.receipted = 0

    async def one_shot(self) -> None:
        """All planes at once, one answer."""
        self.picture_id, self.inbox = self.stream.begin()
        try:
            await self.stream.mark(self.picture_id)
            await self._send(1, self.result.level)
            while not self.result.predictions:
                await self._hear(self.began + PATIENCE_S)
        finally:
            await self.stream.end(self.picture_id, cancel=not self.result.predictions)

    async def progressive(self, enough: float, capacity: float | None) -> None:
        """Plane after plane, about one round trip of them in flight, until the deadline."""
        self.picture_id, self.inbox = self.stream.begin()
        deadline = self.began + self.result.budget
        window = 1
        if capacity is not None:
            plane_bits = 8 * (-(-len(self.indices) // 8) + PLANES_MESSAGE_BYTES + MESSAGE_OVERHEAD)
            window += round(capacity * self.result.round_trip / plane_bits)
        sent, complete = 0, False
        try:
            await self.stream.mark(self.picture_id)
            while not complete and not self._sure(enough):
                late = time.monotonic() >= deadline
                if late and self.result.predictions:
                    break
                if sent < self.result.level and sent - self.receipted < window and (sent == 0 or not late):
                    sent += 1
                    await self._send(sent, sent)
                    continue
                waiting_for_first = not self.result.predictions
                limit = self.began + max(PATIENCE_S, self.result.budget) if waiting_for_first else deadline
                complete = await self._hear(limit)
        finally:
            await self.stream.end(self.picture_id, cancel=not complete)

    def _sure(self, enough: float) -> bool:
        return bool(self.result.predictions) and self.result.best.probability >= enough

    async def _send(self, first: int, last: int) -> None:
        level = self.result.level
        payload = write_planes(self.coder, self.indices, level, first, last)
        self.result.payload_bytes += len(payload)
        await self.stream.send(
            pb.Planes(
                picture_id=self.picture_id,
                level=level,
                first_plane=first,
                planes=payload,
                coded=last + 1 - first if self.coder else 0,
                top_k=self.top_k,
            )
        )

    async def _hear(self, limit: float) -> bool:
        """Takes one message, or returns when the time is up. True once the final answer is there."""
        try:
            answer = await asyncio.wait_for(self.inbox.get(), max(0.0, limit - time.monotonic()))
        except asyncio.TimeoutError:
            if not self.result.predictions:
                raise ServerUnavailable(
                    f"No answer came within {PATIENCE_S:g} s; the link or the server has stalled."
                ) from None
            return False
        if isinstance(answer, pb.Receipt):
            self.receipted = answer.planes
            return False
        if isinstance(answer, pb.Prediction):
            if not answer.classes:
                raise ProtocolError("The server sent an answer without a class; update the server.")
            prediction = Prediction.from_message(answer, time.monotonic() - self.began)
            self.result.predictions.append(prediction)
            if self.on_prediction:
                self.on_prediction(prediction)
            return prediction.final
        raise answer


class Client:
    """The synchronous form of `AsyncClient`; safe to share between threads.

    with Client("localhost:50051") as client:
        print(client.predict(read_picture("dog.jpg"), budget=0.05).best.name)
    """

    def __init__(
        self,
        address: str,
        model: str | None = None,
        *,
        name: str = "",
        security: Security = PLAIN,
        connect_timeout: float = 5.0,
    ) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="artoveq-client", daemon=True)
        self._client = AsyncClient(address, model, name=name, security=security, connect_timeout=connect_timeout)

    def __enter__(self) -> Client:
        self._thread.start()
        try:
            self._run(self._client.__aenter__())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._run(self._client.__aexit__(kind, error, traceback))
        self._stop()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    @property
    def encoder(self) -> Encoder:
        assert self._client.encoder is not None
        return self._client.encoder

    @property
    def capacity(self) -> float | None:
        """Bits per second as measured so far."""
        return self._client.capacity

    def predict(self, picture: Picture, **options: Any) -> Result:
        """As `AsyncClient.predict`."""
        return self._run(self._client.predict(picture, **options))

    def keep(self, spool: Spool, picture: Picture, context: dict[str, Any]) -> list[Kept]:
        """As `AsyncClient.keep`; the spool belongs to the calling thread."""
        return self._client.keep(spool, picture, context)

    def deliver(self, kept: Kept, **options: Any) -> Prediction:
        """As `AsyncClient.deliver`."""
        return self._run(self._client.deliver(kept, **options))

    def report(self, result: Result, picture: Picture, **options: Any) -> None:
        """As `AsyncClient.report`."""
        self._run(self._client.report(result, picture, **options))
