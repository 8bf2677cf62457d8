"""The client: a picture in, an answer within the budget out. `edge_client.blocking` wraps it for synchronous code."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from itertools import accumulate
from typing import Any, cast

import grpc
import numpy as np

from edge_client.channel import PLAIN, Security
from edge_client.codec import write_webp
from edge_client.encoder import Encoder
from edge_client.errors import translated
from edge_client.provision import provision
from edge_client.rate import Forecast, Way, choose, choose_steps
from edge_client.report import report_of
from edge_client.results import Prediction, Result
from edge_client.spool import Kept, Spool
from edge_client.stream import FRAMING_BYTES, Stream
from edge_client.talk import AROUND_BYTES, PATIENCE_S, PLANES_MESSAGE_BYTES, Talk
from wire.artifact import load_artifact
from wire.bitplanes import Indices
from wire.entropy import WORD_BITS, write_planes
from wire.exceptions import LevelError, ServerError, ServerUnavailable
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceStub
from wire.pictures import Picture

ATTEMPTS = 2
"""A picture whose stream breaks is sent once more on a fresh one."""
PROBE_BYTES = 1200
"""A probe is one packet: more would delay the next picture by more than it tells."""


class AsyncClient:
    """Classifies pictures on a server, at the rate that the link allows.

    address: "HOST:PORT". model: folder of the artifact; None fetches the encoder from the server.
    name: what the server's page calls this edge; empty: the host that it comes from.
    security: TLS and the token, where the server wants them.
    probe: bytes of probes for each byte of pictures, at most. Small pictures never fill a fast link, and then
    its capacity is known as "at least so much"; a probe finds out. 0: none are sent.

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
        probe: float = 0.0,
    ) -> None:
        self.address, self.name, self._security = address, name, security
        self.connect_timeout, self._probe = connect_timeout, probe
        self.forecast = Forecast()
        self.encoder: Encoder | None = None
        self._model = model
        self._stream: Stream | None = None
        self._opening = asyncio.Lock()
        self._encoding = {"planes": 0.0, "webp": 0.0}
        self._probe_allowance = 0.0

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
            self._warm_up()
            await self._connected()
        except BaseException:
            await self._channel.close()
            raise
        return self

    def _warm_up(self) -> None:
        """The first run of an encoder takes longer than the others, and no picture shall pay for it."""
        assert self.encoder is not None
        manifest = self.encoder.manifest
        size = manifest.preprocessing.size
        blank = np.zeros((size, size, 3), np.uint8)
        for _ in range(2):
            began = time.monotonic()
            self.encoder.encode(blank, manifest.max_level)
            self._encoding["planes"] = time.monotonic() - began

    async def __aexit__(self, *_: object) -> None:
        if self._stream is not None and self._stream.broken is None:
            await self._stream.close()
        await self._channel.close()

    @property
    def capacity(self) -> float | None:
        """Bits per second as measured so far."""
        return self.forecast.capacity

    async def predict(
        self,
        picture: Picture,
        *,
        budget: float = 0.05,
        level: int | None = None,
        progressive: bool = False,
        webp: bool | tuple[int, int] | None = None,
        top_k: int = 1,
        enough: float = 1.0,
        on_prediction: Callable[[Prediction], None] | None = None,
    ) -> Result:
        """The answer for one picture.

        One-shot: the level (or, if None, the one whose answer is likeliest right and within `budget`
        seconds) is sent at once, and the one answer is waited for even when it is late. Progressive: planes go
        out one after the other, and answers come in, until the level, the deadline, or a best class of
        at least probability `enough`; the first answer is waited for even when it is late.
        webp: True sends a small file in place of planes, and the server runs the encoder, too; (side, quality)
        one like this; None does so where it is the better use of the bytes and the time.

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
        if webp and (level is not None or progressive):
            raise LevelError("A file has no level and no planes; leave webp off, or level and progressive mode.")
        began = time.monotonic()
        for attempt in range(ATTEMPTS):
            try:
                stream = await self._connected()
                self.forecast.at_most(stream.overdue(self.forecast.spent(stream.round_trip)))
                result = Result(level or manifest.max_level, budget, self.capacity, stream.round_trip)
                coder = self.encoder.coder if stream.reads_coded_planes else None
                talk = Talk(stream, result, coder, began, top_k, on_prediction)
                if progressive:
                    await self._progressive(talk, picture, enough)
                else:
                    await self._one_shot(talk, picture, level, webp)
            except ServerUnavailable:
                if attempt + 1 == ATTEMPTS:
                    raise
                continue
            took = time.monotonic() - began
            stream.trace.record("artoveq.predict", took, request_id=result.request_id, level=result.level)
            await self._learn(talk)
            with contextlib.suppress(ServerError):
                await stream.mark()
            return result
        raise AssertionError("unreachable")

    async def _one_shot(
        self, talk: Talk, picture: Picture, level: int | None, webp: bool | tuple[int, int] | None
    ) -> None:
        assert self.encoder is not None
        result, began = talk.result, time.monotonic()
        way = self._way(talk, level, webp)
        if way.point is None:
            indices = self._encode(talk, picture, way, free=level is None)
            result.encode = self._encoding["planes"] = time.monotonic() - began
            await talk.one_shot(indices)
        else:
            result.webp = way.point
            data = write_webp(self.encoder.fit(picture), *way.point)
            result.encode = self._encoding["webp"] = time.monotonic() - began
            await talk.file(data)

    def _way(self, talk: Talk, level: int | None, webp: bool | tuple[int, int] | None) -> Way:
        """Planes or a file, by what pictures take on average."""
        ways = self._levels(talk)
        if level is not None:
            return next(way for way in ways if way.level == level)
        if isinstance(webp, tuple):
            return Way(0.0, 0.0, point=webp)
        files = self._files() if talk.stream.reads_bundles and webp is not False else []
        ways = files if webp else ways + files
        if not ways:
            raise LevelError("This model's figures for WebP are not known, or its server is too old; leave it off.")
        return choose(ways, self.forecast, talk.result.budget, talk.result.round_trip, talk.stream.queued_bits)

    def _encode(self, talk: Talk, picture: Picture, way: Way, *, free: bool) -> Indices:
        """The picture at the level of `way`; or, where it is free and prefixes are levels, by what this one takes."""
        assert self.encoder is not None
        manifest, result = self.encoder.manifest, talk.result
        if not (free and manifest.prefix_consistent):
            result.level = way.level
            return self.encoder.encode(picture, way.level)
        indices = self.encoder.encode(picture, manifest.max_level)
        left = result.budget - (time.monotonic() - talk.began)
        ways = self._levels(talk, indices)
        result.level = choose(ways, self.forecast, left, result.round_trip, talk.stream.queued_bits).level
        return cast(Indices, indices >> (manifest.max_level - result.level))

    async def _progressive(self, talk: Talk, picture: Picture, enough: float) -> None:
        assert self.encoder is not None
        result, began = talk.result, time.monotonic()
        indices = self.encoder.encode(picture, result.level)
        result.encode = self._encoding["planes"] = time.monotonic() - began
        left = result.budget - (time.monotonic() - talk.began)
        message, queued = 8 * (PLANES_MESSAGE_BYTES + FRAMING_BYTES), talk.stream.queued_bits
        ways = self._levels(talk, indices)
        steps = choose_steps(ways, self.forecast, left, result.round_trip, message, queued)
        await talk.progressive(indices, enough, self.forecast, steps)

    def _levels(self, talk: Talk, indices: Indices | None = None) -> list[Way]:
        """All levels; those of one picture, given its `indices` at the highest one that may be sent.

        A picture that is encoded already takes no more time for that.
        """
        assert self.encoder is not None
        manifest, encode = self.encoder.manifest, self._encoding["planes"]
        payloads = {row.level: row.payload_bytes for row in manifest.levels}
        if talk.coder is None:
            payloads = {level: float(level * manifest.plane_bytes) for level in payloads}
        if indices is not None:
            encode, highest = 0.0, talk.result.level
            if talk.coder is not None:
                bits = accumulate(talk.coder.costs(indices, highest), initial=float(WORD_BITS))
                payloads = {level: one / 8 for level, one in enumerate(bits) if level in payloads}
            payloads = {level: payloads[level] for level in payloads if level <= highest}
        top1 = {row.level: row.top1 for row in manifest.levels}
        return [Way(8 * (payloads[n] + AROUND_BYTES), top1[n], encode, level=n) for n in payloads]

    def _files(self) -> list[Way]:
        assert self.encoder is not None
        encode = self._encoding["webp"] or self._encoding["planes"]
        return [
            Way(8 * (row.payload_bytes + AROUND_BYTES), row.top1, encode, point=(row.side, row.quality))
            for row in self.encoder.manifest.codec
        ]

    async def _learn(self, talk: Talk) -> None:
        """What became of a picture, for the next one; and a probe, where it only said "at least"."""
        now, sample, first = time.monotonic(), talk.sample, talk.first_seconds
        if first is None:  # sent together with others: what was its own time cannot be told
            return
        spent = max(0.0, talk.result.predictions[0].after - talk.result.encode - first)
        if talk.result.webp is not None:  # the server encodes it, too; that belongs to files alone
            extra = max(0.0, spent - self.forecast.spent(spent))
            self._encoding["webp"], spent = talk.result.encode + extra, spent - extra
        self.forecast.learn(sample, spent, talk.result.capacity, now)
        self._probe_allowance += self._probe * talk.result.payload_bytes
        if sample is not None and sample.app_limited and self._probe_allowance >= PROBE_BYTES:
            self._probe_allowance -= PROBE_BYTES
            with contextlib.suppress(ServerError):
                self.forecast.measured(await talk.stream.probe(PROBE_BYTES), time.monotonic())

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

    async def _connected(self) -> Stream:
        """The stream, opened anew where it has broken."""
        assert self.encoder is not None
        async with self._opening:
            if self._stream is None or self._stream.broken is not None:
                stream = Stream(self._stub, self.address, self._security.metadata)
                await stream.open(self.encoder.manifest.fingerprint, self.name, self.connect_timeout)
                self._stream = stream
            return self._stream
