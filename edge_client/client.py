"""The client: a picture in, an answer within the budget out. `edge_client.blocking` wraps it for synchronous code."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from edge_client.connection import Connection
from edge_client.control import PROBE_BYTES, RateControl
from edge_client.delivery import keep, request_of
from edge_client.encoder import Encoder, warm_up
from edge_client.errors import translated
from edge_client.local import alone, answered_locally
from edge_client.modes import File, Mode, OneShot, PictureSource, Progressive, picture_of, seconds_of, top_k_of
from edge_client.moving import Moves
from edge_client.preparation import Preparation
from edge_client.provision import check_pin, provision, provisioned, remember
from edge_client.rate import RatePolicy
from edge_client.report import report_of
from edge_client.request import PATIENCE_S, Request
from edge_client.results import Answer, Result
from edge_client.spool import Arrival, Kept, Spool
from edge_client.stream import StreamLedger
from edge_client.transport.base import OpenTransport
from edge_client.transport.grpc import GrpcTransport
from edge_client.transport.security import PLAIN, Security
from wire.artifact import load_artifact
from wire.exceptions import ModelMismatch, ServerError, ServerOverloaded, ServerUnavailable, UsageError
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub
from wire.tasks import task_of

ATTEMPTS = 2
"""A picture whose stream breaks is sent once more on a fresh one."""
OnAnswer = Callable[[Answer], None]


class AsyncClient:
    """Asks a server about pictures, at the rate that the link allows.

    Args:
        address: "HOST:PORT".
        model: folder of the artifact, or its encoder; None fetches it from the server.
        fingerprint: of the one model that is taken, as `artoveq serve` prints it; empty: whichever one there is.
        name: what the server's page calls this edge; empty: the host that it comes from.
        policy: what decides how much is sent where a mode leaves that open; None is ours, `edge_client.rate.adaptive`.
        security: TLS and the token, where the server wants them.
        connect_timeout: seconds.
        offline: whether it may be entered while no server answers: with the given model, or with the one that the
            server served last. `keep` works then, and `predict` as soon as a server answers.
        probe: bytes of probes for each byte of pictures, at most. Small pictures never fill a fast link, and then
            its capacity is known as "at least so much"; a probe finds out. 0: none are sent.
        transport: makes what carries each stream; None is gRPC.

    Example:
        async with AsyncClient("localhost:50051") as client:
            result = await client.predict("dog.jpg", budget="50ms")
    """

    def __init__(
        self,
        address: str,
        model: str | Path | Encoder | None = None,
        *,
        fingerprint: str = "",
        name: str = "",
        policy: RatePolicy | None = None,
        security: Security = PLAIN,
        connect_timeout: float = 5.0,
        offline: bool = False,
        probe: float = 0.0,
        transport: OpenTransport | None = None,
    ) -> None:
        if transport is not None and model is None:
            raise UsageError("Over a transport of your own no encoder can be fetched; give the model.")
        if not re.fullmatch(r"([0-9a-f]{64})?", fingerprint):
            raise UsageError(f"A fingerprint has 64 hexadecimal digits, not {fingerprint[:80]!r}; copy all of them.")
        self.address, self.name, self.policy, self.connect_timeout = address, name, policy, connect_timeout
        self._model, self._security, self._transport, self._probe = model, security, transport, probe
        self._fingerprint, self._offline = fingerprint, offline
        self._connection: Connection | None = None
        self._greeted = ""
        """The model of the connection."""
        self._opening, self._moves = asyncio.Lock(), Moves(self._open_beside)
        self._encoder: Encoder | None = None
        self.control: RateControl

    async def __aenter__(self) -> AsyncClient:
        self._channel = self._security.open(self.address)
        try:
            self._adopt(await self._load())
            if not self._offline:
                await self._connected()
        except BaseException:
            await self._channel.close()
            raise
        return self

    async def _load(self) -> Encoder:
        if isinstance(self._model, Encoder):
            check_pin(self._model.manifest, self._fingerprint)
            return self._model
        if self._model is not None:
            artifact = load_artifact(self._model, edge=True)
            check_pin(artifact.manifest, self._fingerprint)
            return Encoder(artifact)
        cached = provisioned(self.address) if self._offline and not self._fingerprint else None
        if cached is not None:
            return Encoder(cached)
        try:
            return await self._fetched()
        except ServerUnavailable as error:
            if not self._offline:
                raise
            raise ServerUnavailable(
                f"{error} An edge starts without it once it has a model; name its folder."
            ) from error

    async def _fetched(self, fingerprint: str = "") -> Encoder:
        """fingerprint: of one version; else the one that the client takes alone."""
        metadata, wanted = self._security.metadata, fingerprint or self._fingerprint
        return Encoder(await provision(self._channel, self.address, self.connect_timeout, metadata, wanted))

    def _adopt(self, encoder: Encoder, encode_s: float | None = None) -> None:
        """This is the model from now on, if it runs; what is known of the link stays.

        encode_s: seconds that a picture takes, where that is known.
        """
        task, control = task_of(encoder.manifest), RateControl(encoder.codec, self._probe)
        control.encode_s = warm_up(encoder, _now) if encode_s is None else encode_s
        if self._encoder is not None:
            control.estimator = self.control.estimator
        self._encoder, self._task, self.control = encoder, task, control
        if self._model is None:
            remember(self.address, encoder.manifest.fingerprint)

    async def _follow(self, mismatch: ModelMismatch) -> None:
        """Takes the model that the server serves now, where the encoder came from there.

        Raises:
            ModelMismatch: if there is no other one.
        """
        if self._model is not None:
            raise mismatch
        encoder = await self._fetched()
        if encoder.manifest.fingerprint == self.encoder.manifest.fingerprint:
            raise mismatch
        self._adopt(encoder)

    async def __aexit__(self, *_: object) -> None:
        await self._moves.end()
        if self._connection is not None and self._connection.broken is None:
            await self._connection.close()
        await self._channel.close()

    @property
    def encoder(self) -> Encoder:
        """The edge half of the model.

        Raises:
            UsageError: before the client is entered.
        """
        if self._encoder is None:
            raise UsageError("A client connects when it is entered; use it in a `with` or `async with`.")
        return self._encoder

    @property
    def capacity(self) -> float | None:
        """Bits per second as measured so far."""
        return self.control.estimator.capacity

    async def predict(
        self,
        picture: PictureSource,
        mode: Mode = OneShot(),  # noqa: B008 (frozen)
        budget: float | str = 0.05,
        top_k: int = 1,
        on_answer: OnAnswer | None = None,
    ) -> Result:
        """The answer for one picture.

        Args:
            picture: a path, the bytes of a file, a PIL image, or an array of uint8 (height, width, 3).
            mode: `OneShot`: the one answer is waited for even when it is late. `Progressive`: answers come in until the
                last plane, the deadline, or one that is sure enough; the first is waited for even when it is late.
                `File`: a small WebP file. Where the edge has an answer of its own, that comes first, and stands where
                no other comes before the deadline.
            budget: the latency that is allowed, in seconds or as "50ms".
            top_k: classes that are named.
            on_answer: called with each answer as it comes.

        Raises:
            UsageError: if an argument cannot be used.
            PictureError: if the picture cannot be read.
            PointError: if the model does not have what is asked for, or planned by a policy.
            ServerUnavailable: if the connection fails, once more after one reconnect; unless the edge has an answer of
                its own, which stands then, with the reason as `Result.error`.
            ServerOverloaded: if the server has no room now; with the same exception.
            ModelMismatch: if the server has no such model.
            ProtocolError: if the server finds a fault in what was sent.
        """
        began = _now()
        if not isinstance(mode, (OneShot, Progressive, File)):
            raise UsageError(f"A mode is OneShot(), Progressive() or File(), not {mode!r}.")
        allowed, classes, pixels = seconds_of(budget), top_k_of(top_k), picture_of(picture)
        local, answers = answered_locally(self.encoder, self._task, pixels, mode, classes, began, _now), list[Answer]()
        if local is not None:
            answers.append(local.answer)
            if on_answer is not None:
                on_answer(local.answer)
            if local.answer.final:
                return alone(answers, allowed, self.capacity, local.encode_s)

        manifest = self.encoder.manifest

        def prepare(picture_id: int, ledger: StreamLedger, result: Result) -> Request:
            nonlocal manifest
            manifest = self.encoder.manifest  # another one than above, perhaps: the edge goes on with what it is told
            known = local if local is not None and local.fingerprint == manifest.fingerprint else None
            of_picture = (pixels, mode, classes, began, picture_id, ledger, result, known)
            return Preparation(self.encoder, self.control, self.policy, self._task, _now, *of_picture).request()

        for attempt in range(ATTEMPTS):
            try:
                connection = await self._connected_by(None if local is None else began + allowed)
                result = self._result(connection.ledger, allowed, answers)
                request = await connection.ask(prepare, result, on_answer)
            except (ServerUnavailable, ServerOverloaded) as error:
                if isinstance(error, ServerUnavailable) and attempt + 1 < ATTEMPTS:
                    continue
                if local is None:
                    raise
                return alone(answers, allowed, self.capacity, local.encode_s, error)
            now = _now()
            if not result.payload_bytes:
                result.point = 0
            result.sizes = manifest.point(result.point).sizes if result.point else ()
            connection.trace.record("artoveq.predict", now - began, request_id=result.request_id, point=result.point)
            with contextlib.suppress(ServerError):
                if self.control.learn(request, now, again=attempt > 0):
                    self.control.estimator.measured(await connection.probe(PROBE_BYTES), _now())
                await connection.sync()
            return result
        raise AssertionError("unreachable")

    def _result(self, ledger: StreamLedger, budget: float, answers: list[Answer]) -> Result:
        """Of a picture that goes over this stream now. answers: what came over the one before."""
        estimator = self.control.estimator
        estimator.at_most(ledger.overdue(estimator.overhead_s(ledger.round_trip), _now()))
        return Result(self.encoder.finest, budget, self.capacity, ledger.round_trip, answers=answers)

    async def report(
        self, result: Result, picture: PictureSource, *, thumbnail: bool = False, true_capacity: float | None = None
    ) -> None:
        """Shows a result on the server's page. It takes some 60 bytes of the uplink, 300 more with a thumbnail.

        true_capacity: bits per second, where the caller knows them. A server that cannot be reached now is told
        nothing.
        """
        size, estimator = self.encoder.manifest.preprocessing.size, self.control.estimator
        report = report_of(
            result,
            picture_of(picture),
            size,
            thumbnail=thumbnail,
            capacity=estimator.seen(_now()),
            spread=estimator.spread(),
            true_capacity=true_capacity,
        )
        with contextlib.suppress(ServerError):
            await (await self._connected()).report(report)

    def keep(
        self,
        spool: Spool,
        picture: PictureSource,
        context: dict[str, Any],
        *,
        key: bytes = b"",
        arrival: Arrival | None = None,
    ) -> list[Kept]:
        """Puts a picture into the spool, for `deliver`; returns what had to go for it.

        As the spool wants it: its planes, at the model's finest point and packed, which is what every server reads; or
        the picture, scaled down; or both. key, arrival: as of `Spool.keep`.
        """
        return keep(spool, self.encoder, picture_of(picture), context, key=key, arrival=arrival)

    async def deliver(self, kept: Kept, *, top_k: int = 1) -> Answer:
        """The answer for a picture from a spool. Asked again, the server repeats it and counts the picture once.

        Where the picture is kept, and was encoded for another model than is served now, it is encoded anew.

        Raises:
            ServerUnavailable: if no server answers; try again later.
            ServerOverloaded: if it has no room now; try again later.
            ModelMismatch: if it was encoded for another model, and the picture is not kept.
            PictureError: if the picture is damaged.
        """
        asked = request_of(kept, self.encoder, top_k_of(top_k))
        try:
            return await self._ask(asked)
        except ModelMismatch as mismatch:
            if kept.picture is None:
                raise
            if asked.fingerprint == self.encoder.manifest.fingerprint:  # else another picture has followed already
                await self._follow(mismatch)
        return await self._ask(request_of(kept, self.encoder, top_k))

    async def _ask(self, request: pb.PredictRequest) -> Answer:
        began, task = _now(), self._task
        stub = RemoteInferenceServiceStub(self._channel)  # type: ignore[no-untyped-call]
        try:
            response = await stub.Predict(request, metadata=self._security.metadata, timeout=PATIENCE_S)
        except grpc.RpcError as error:
            raise translated(error, self.address) from error
        return Answer.from_message(response.answer, task, _now() - began, len(request.data))

    async def _connected(self) -> Connection:
        """The stream, opened anew where it has broken."""
        async with self._opening:
            connection, fingerprint = self._connection, self.encoder.manifest.fingerprint
            if connection is not None and connection.broken is None and self._greeted != fingerprint:
                await connection.close()
            if connection is None or connection.broken is not None:
                try:
                    connection = await self._open(self._channel)
                except ModelMismatch as mismatch:
                    await self._follow(mismatch)
                    connection = await self._open(self._channel)
                self._connection, self._greeted = connection, self.encoder.manifest.fingerprint
                if self.capacity is None:
                    await self._measure(connection)
            return connection

    async def _connected_by(self, deadline: float | None) -> Connection:
        """As `_connected`; what is not open by the deadline goes on being opened, for pictures to come.

        Raises:
            ServerUnavailable: at the deadline, too.
        """
        if deadline is None:
            return await self._connected()
        opening = asyncio.ensure_future(self._connected())
        opening.add_done_callback(lambda done: done.cancelled() or done.exception())  # perhaps nobody waits any more
        await asyncio.wait({opening}, timeout=max(0.0, deadline - _now()))
        if not opening.done():
            raise ServerUnavailable(f"{self.address} has not answered within the budget; the edge's own answer stands.")
        # Meanwhile the edge may have gone over to another stream, and another model.
        return connection if (connection := opening.result()) is self._connection else await self._connected()

    async def _measure(self, connection: Connection) -> None:
        """Fills a link that nothing is known of with as much as a picture may take, so that the first one knows it."""
        size = min(PROBE_BYTES, self.encoder.manifest.points[-1].payload_bytes)
        with contextlib.suppress(asyncio.TimeoutError, ServerError):
            sample = await asyncio.wait_for(connection.probe(size), self.connect_timeout)
            self.control.estimator.measured(sample, _now())

    @property
    def _follows(self) -> bool:
        """Whether the model is the server's to choose."""
        return self._model is None and not self._fingerprint

    async def _open(self, channel: grpc.aio.Channel, fingerprint: str = "") -> Connection:
        transport = self._transport() if self._transport else GrpcTransport(channel, self.address)
        connection = Connection(transport, self.address, self._security.metadata, self._moves.begin)
        fingerprint = fingerprint or self.encoder.manifest.fingerprint
        await connection.open(fingerprint, self.name, self.connect_timeout, follows=self._follows)
        return connection

    async def _open_beside(self, old: Connection, fingerprint: str) -> grpc.aio.Channel | None:
        """Opens a stream that takes the place of an old one, unless that has been replaced meanwhile.

        fingerprint: of the model that takes the place of the old one's; empty: that one stays.
        """
        other, encode_s = None, 0.0
        if self._follows and fingerprint not in ("", self._greeted):
            other = await self._fetched(fingerprint)
            encode_s = await asyncio.to_thread(warm_up, other, time.perf_counter)  # pictures go on meanwhile
        fingerprint = (other or self.encoder).manifest.fingerprint
        channel = self._security.open(self.address)
        try:
            new = await self._open(channel, fingerprint)
        except BaseException:
            await channel.close()
            raise
        async with self._opening:
            if self._connection is old:
                left, self._channel = self._channel, channel
                self._connection, self._greeted = new, fingerprint
                if other is not None:
                    self._adopt(other, encode_s)
                return left
        await new.close()
        await channel.close()
        return None


def _now() -> float:
    """Seconds of the loop's clock, which a test may hold."""
    return asyncio.get_running_loop().time()
