"""The client: a picture in, an answer within the budget out. `edge_client.blocking` wraps it for synchronous code."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from edge_client.asking import Asked, digest_of
from edge_client.control import PROBE_BYTES, RateControl
from edge_client.delivery import keep, request_of
from edge_client.encoder import Encoder
from edge_client.errors import translated
from edge_client.local import alone, answered_locally
from edge_client.modes import File, Mode, OneShot, PictureSource, Progressive, picture_of, seconds_of, top_k_of
from edge_client.preparation import Preparation
from edge_client.rate import RatePolicy
from edge_client.report import report_of
from edge_client.request import PATIENCE_S, Request
from edge_client.results import Answer, Result
from edge_client.session import Session, now
from edge_client.spool import Arrival, Kept, Spool
from edge_client.stream import StreamLedger
from edge_client.transport.base import OpenTransport
from edge_client.transport.security import PLAIN, Security
from wire.exceptions import (
    ModelMismatch,
    PictureNotKept,
    ServerError,
    ServerOverloaded,
    ServerUnavailable,
    UsageError,
)
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub
from wire.questions import check_question, question_of

ATTEMPTS = 3
"""A picture whose stream breaks is sent again on a fresh one: of several servers behind an address, one after the other
may be stopping."""
OnAnswer = Callable[[Answer], None]


class AsyncClient:
    """Asks a server about pictures, at the rate that the link allows.

    Args:
        address: "HOST:PORT".
        model: folder of the artifact, its address in a registry, or its encoder; None fetches it from the server.
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
        self.address, self.policy = address, policy
        self._asked: Asked | None = None
        """The picture of the newest question."""
        self._session = Session(
            address,
            model,
            fingerprint=fingerprint,
            name=name,
            security=security,
            connect_timeout=connect_timeout,
            offline=offline,
            probe=probe,
            transport=transport,
        )

    async def __aenter__(self) -> AsyncClient:
        await self._session.begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.end()

    @property
    def encoder(self) -> Encoder:
        """The edge half of the model.

        Raises:
            UsageError: before the client is entered.
        """
        return self._session.encoder

    @property
    def control(self) -> RateControl:
        """What is known of the link and of this edge, and decides by it."""
        return self._session.control

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
            QuestionError: if the model answers questions; `ask` it one.
            PointError: if the model does not have what is asked for, or planned by a policy.
            ServerUnavailable: if the connection fails, once more after one reconnect; unless the edge has an answer of
                its own, which stands then, with the reason as `Result.error`.
            ServerOverloaded: if the server has no room now; with the same exception.
            ModelMismatch: if the server has no such model.
            ProtocolError: if the server finds a fault in what was sent.
        """
        return await self._answered(picture, mode, budget, top_k, on_answer)

    async def ask(
        self,
        picture: PictureSource,
        question: str,
        mode: Mode = OneShot(),  # noqa: B008 (frozen)
        budget: float | str = 0.05,
        top_k: int = 1,
        on_answer: OnAnswer | None = None,
    ) -> Result:
        """The answer to a question about a picture, by a model that answers questions.

        Where the question before was about the same picture, and the server still has it, the question alone is sent.
        Its bytes count among `Result.payload_bytes`.

        Args:
            question: in words that the model knows, or in any where it answers in free text; at most 500 characters.
            picture, mode, budget, top_k, on_answer: as of `predict`; a point that is named, other than the one that
                the server has, sends the picture anew. An answer in free text is heard in parts, with `Answer.partial`
                and all of the text so far, and then whole; the budget is that of the whole.

        Raises:
            QuestionError: if the model cannot answer the question, or answers none.
            ArtoveqError: as `predict`.
        """
        if not isinstance(question, str):
            raise UsageError(f"A question is text, not {type(question).__name__}.")
        check_question(question)
        return await self._answered(picture, mode, budget, top_k, on_answer, question)

    async def _answered(
        self,
        picture: PictureSource,
        mode: Mode,
        budget: float | str,
        top_k: int,
        on_answer: OnAnswer | None,
        question: str = "",
    ) -> Result:
        began = now()
        if not isinstance(mode, (OneShot, Progressive, File)):
            raise UsageError(f"A mode is OneShot(), Progressive() or File(), not {mode!r}.")
        question_of(self.encoder.manifest, question)  # refused before the picture is read
        allowed, classes, pixels = seconds_of(budget), top_k_of(top_k), picture_of(picture)
        digest = digest_of(pixels) if question else b""
        task, answers = self._session.task, list[Answer]()
        local = answered_locally(self.encoder, task, pixels, mode, classes, began, now)
        if local is not None:
            answers.append(local.answer)
            if on_answer is not None:
                on_answer(local.answer)
            if local.answer.final:
                return alone(answers, allowed, self.capacity, local.encode_s)

        manifest, further = self.encoder.manifest, False

        def prepare(picture_id: int, ledger: StreamLedger, result: Result) -> Request:
            nonlocal manifest, further
            manifest = self.encoder.manifest  # another one than above, perhaps: the edge goes on with what it is told
            known = local if local is not None and local.fingerprint == manifest.fingerprint else None
            of_picture = (pixels, mode, classes, began, picture_id, ledger, result, known, question)
            prepared = Preparation(self.encoder, self.control, self.policy, self._session.task, now, *of_picture)
            asked = self._asked
            further = bool(question) and asked is not None and asked.serves(digest, ledger, mode)
            return prepared.further(asked) if further and asked is not None else prepared.request()

        for attempt in range(ATTEMPTS):
            try:
                connection = await self._session.connected_by(None if local is None else began + allowed)
                result = self._result(connection.ledger, allowed, answers)
                request = await connection.ask(prepare, result, on_answer)
            except PictureNotKept:
                self._asked = None
                if attempt + 1 < ATTEMPTS:
                    continue
                raise
            except (ServerUnavailable, ServerOverloaded) as error:
                if isinstance(error, ServerUnavailable) and attempt + 1 < ATTEMPTS:
                    continue
                if local is None:
                    raise
                return alone(answers, allowed, self.capacity, local.encode_s, error)
            ended = now()
            if not result.payload_bytes:
                result.point = 0
            result.sizes = manifest.point(result.point).sizes if result.point else ()
            connection.trace.record("artoveq.predict", ended - began, request_id=result.request_id, point=result.point)
            if question and not further:
                self._asked = Asked(digest, connection.ledger, request.picture_id, result.answers[-1].point)
            with contextlib.suppress(ServerError):
                if not further and self.control.learn(request, ended, again=attempt > 0):
                    self.control.estimator.measured(await connection.probe(PROBE_BYTES), now())
                await connection.sync()
            return result
        raise AssertionError("unreachable")

    def _result(self, ledger: StreamLedger, budget: float, answers: list[Answer]) -> Result:
        """Of a picture that goes over this stream now. answers: what came over the one before."""
        estimator = self.control.estimator
        estimator.at_most(ledger.overdue(estimator.overhead_s(ledger.round_trip), now()))
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
            capacity=estimator.seen(now()),
            spread=estimator.spread(),
            true_capacity=true_capacity,
        )
        with contextlib.suppress(ServerError):
            await (await self._session.connected()).report(report)

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
                await self._session.follow(mismatch)
        return await self._ask(request_of(kept, self.encoder, top_k))

    async def _ask(self, request: pb.PredictRequest) -> Answer:
        began, task = now(), self._session.task
        stub = RemoteInferenceServiceStub(self._session.channel)  # type: ignore[no-untyped-call]
        try:
            response = await stub.Predict(request, metadata=self._session.metadata, timeout=PATIENCE_S)
        except grpc.RpcError as error:
            raise translated(error, self.address) from error
        return Answer.from_message(response.answer, task, now() - began, len(request.data))
