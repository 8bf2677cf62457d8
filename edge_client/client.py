"""The client: a picture in, an answer within the budget out. `edge_client.blocking` wraps it for synchronous code."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from edge_client.connection import Connection
from edge_client.control import PROBE_BYTES, RateControl
from edge_client.encoder import Encoder
from edge_client.errors import translated
from edge_client.modes import File, Mode, OneShot, PictureSource, Progressive, picture_of, seconds_of, top_k_of
from edge_client.preparation import Preparation
from edge_client.provision import check_pin, provision
from edge_client.rate import RatePolicy
from edge_client.report import report_of
from edge_client.request import PATIENCE_S, Request
from edge_client.results import Answer, Result
from edge_client.spool import Kept, Spool
from edge_client.stream import StreamLedger
from edge_client.transport.base import OpenTransport
from edge_client.transport.grpc import GrpcTransport
from edge_client.transport.security import PLAIN, Security
from wire.artifact import load_artifact
from wire.exceptions import ServerError, ServerUnavailable, UsageError
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub
from wire.payload import PayloadCodec
from wire.tasks import task_of

ATTEMPTS = 2
"""A picture whose stream breaks is sent once more on a fresh one."""
OnAnswer = Callable[[Answer], None]


class AsyncClient:
    """Asks a server about pictures, at the rate that the link allows.

    address: "HOST:PORT". model: folder of the artifact, or its encoder; None fetches it from the server.
    fingerprint: of the one model that is taken, as `artoveq serve` prints it; empty: whichever one there is.
    name: what the server's page calls this edge; empty: the host that it comes from.
    policy: what decides how much is sent where a mode leaves that open; None is ours, `edge_client.rate.adaptive`.
    security: TLS and the token, where the server wants them.
    connect_timeout: seconds.
    probe: bytes of probes for each byte of pictures, at most. Small pictures never fill a fast link, and then
    its capacity is known as "at least so much"; a probe finds out. 0: none are sent.
    transport: makes what carries each stream; None is gRPC.

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
        probe: float = 0.0,
        transport: OpenTransport | None = None,
    ) -> None:
        if transport is not None and model is None:
            raise UsageError("Over a transport of your own no encoder can be fetched; give the model.")
        if not re.fullmatch(r"([0-9a-f]{64})?", fingerprint):
            raise UsageError(f"A fingerprint has 64 hexadecimal digits, not {fingerprint[:80]!r}; copy all of them.")
        self.address, self.name, self.policy, self.connect_timeout = address, name, policy, connect_timeout
        self._model, self._security, self._transport, self._probe = model, security, transport, probe
        self._fingerprint = fingerprint
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()
        self._encoder: Encoder | None = None

    async def __aenter__(self) -> AsyncClient:
        self._channel = self._security.open(self.address)
        try:
            self._encoder = await self._load()
            self._task = task_of(self._encoder.manifest)
            self.control = RateControl(self._encoder.codec, self._probe)
            self._warm_up(self._encoder)
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
        metadata = self._security.metadata
        return Encoder(await provision(self._channel, self.address, self.connect_timeout, metadata, self._fingerprint))

    def _warm_up(self, encoder: Encoder) -> None:
        """The first run of an encoder takes longer than the others, and no picture shall pay for it."""
        size = encoder.manifest.preprocessing.size
        for _ in range(2):
            began = _now()
            encoder.encode(np.zeros((size, size, 3), np.uint8), encoder.finest)
            self.control.encode_s = _now() - began

    async def __aexit__(self, *_: object) -> None:
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
        """The answer for one picture: a path, bytes, a PIL image, or an array of uint8 (height, width, 3).

        mode: `OneShot`: the one answer is waited for even when it is late. `Progressive`: answers come in until the
        last plane, the deadline, or one that is sure enough; the first is waited for even when it is late. `File`.
        budget: the latency that is allowed, in seconds or as "50ms". top_k: classes that are named.
        on_answer: called with each answer as it comes.

        Raises:
            UsageError: if an argument cannot be used.
            PictureError: if the picture cannot be read.
            PointError: if the model does not have what is asked for, or planned by a policy.
            ServerUnavailable: if the connection fails, once more after one reconnect.
            ServerOverloaded, ModelMismatch, ProtocolError: as the server says.
        """
        encoder, began = self.encoder, _now()
        if not isinstance(mode, (OneShot, Progressive, File)):
            raise UsageError(f"A mode is OneShot(), Progressive() or File(), not {mode!r}.")
        allowed, classes, pixels = seconds_of(budget), top_k_of(top_k), picture_of(picture)
        answers: list[Answer] = []
        control, policy, task = self.control, self.policy, self._task

        def prepare(picture_id: int, ledger: StreamLedger, result: Result) -> Request:
            of_picture = (pixels, mode, classes, began, picture_id, ledger, result)
            return Preparation(encoder, control, policy, task, _now, *of_picture).request()

        for attempt in range(ATTEMPTS):
            try:
                connection = await self._connected()
                result = self._result(connection.ledger, allowed, answers)
                request = await connection.ask(prepare, result, on_answer)
            except ServerUnavailable:
                if attempt + 1 == ATTEMPTS:
                    raise
                continue
            now = _now()
            connection.trace.record("artoveq.predict", now - began, request_id=result.request_id, point=result.point)
            with contextlib.suppress(ServerError):
                if control.learn(request, now, again=attempt > 0):
                    control.estimator.measured(await connection.probe(PROBE_BYTES), _now())
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
        """Shows a result on the server's page. It takes some 40 bytes of the uplink, 300 more with a thumbnail.

        true_capacity: bits per second, where the caller knows them. A server that cannot be reached now is told
        nothing.
        """
        size = self.encoder.manifest.preprocessing.size
        report = report_of(result, picture_of(picture), size, thumbnail=thumbnail, true_capacity=true_capacity)
        with contextlib.suppress(ServerError):
            await (await self._connected()).report(report)

    def keep(self, spool: Spool, picture: PictureSource, context: dict[str, Any]) -> list[Kept]:
        """Puts a picture into the spool, at the model's finest point, for `deliver`; returns what had to go for it.

        Its bits are packed: that is what every server reads.
        """
        encoder = self.encoder
        indices, codec = encoder.encode(picture_of(picture), encoder.finest), PayloadCodec(encoder.manifest)
        data, packed = codec.write_block(indices, encoder.finest)
        return spool.keep(encoder.manifest.fingerprint, encoder.finest, data, packed, context)

    async def deliver(self, kept: Kept, *, top_k: int = 1) -> Answer:
        """The answer for a picture from a spool. Asked again, the server repeats it and counts the picture once.

        Raises:
            ServerUnavailable, ServerOverloaded: try again later.
            ModelMismatch: if it was encoded for another model; it cannot be answered any more.
        """
        began, task = _now(), self._task
        stub = RemoteInferenceServiceStub(self._channel)  # type: ignore[no-untyped-call]
        request = pb.PredictRequest(
            fingerprint=kept.fingerprint,
            point=kept.point,
            data=kept.data,
            packed=kept.packed,
            top_k=top_k_of(top_k),
            key=kept.key,
        )
        try:
            response = await stub.Predict(request, metadata=self._security.metadata, timeout=PATIENCE_S)
        except grpc.RpcError as error:
            raise translated(error, self.address) from error
        return Answer.from_message(response.answer, task, _now() - began, len(kept.data))

    async def _connected(self) -> Connection:
        """The stream, opened anew where it has broken."""
        async with self._opening:
            if self._connection is None or self._connection.broken is not None:
                transport = self._transport() if self._transport else GrpcTransport(self._channel, self.address)
                connection = Connection(transport, self.address, self._security.metadata)
                await connection.open(self.encoder.manifest.fingerprint, self.name, self.connect_timeout)
                self._connection = connection
            return self._connection


def _now() -> float:
    """Seconds of the loop's clock, which a test may hold."""
    return asyncio.get_running_loop().time()
