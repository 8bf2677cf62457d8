"""What is said about one picture on one stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from edge_client.rate import Forecast, Sample
from edge_client.results import Prediction, Result
from edge_client.stream import FRAMING_BYTES, WINDOW_BYTES, Arrived, Stream
from wire.bitplanes import Indices, plane_bytes
from wire.entropy import EntropyCoder, write_planes
from wire.exceptions import ProtocolError, ServerUnavailable
from wire.generated import remote_inference_pb2 as pb

PLANES_MESSAGE_BYTES = 18
"""What the fields of a Planes message take beside the planes themselves, at most."""
AROUND_BYTES = PLANES_MESSAGE_BYTES + FRAMING_BYTES + WINDOW_BYTES
"""What a picture takes on the link beside its planes."""
PATIENCE_S = 30.0
"""How long a late answer is waited for. It is late, not lost."""


class Talk:
    """One picture: sent as planes at once (`one_shot`), plane by plane (`progressive`), or as a file."""

    def __init__(
        self,
        stream: Stream,
        result: Result,
        coder: EntropyCoder | None,
        began: float,
        top_k: int,
        on_prediction: Callable[[Prediction], None] | None,
    ) -> None:
        self.stream, self.result, self.coder = stream, result, coder
        self.began, self.top_k, self.on_prediction = began, top_k, on_prediction
        self.arrived = 0
        self.sample: Sample | None = None
        """What the picture told about the link."""
        self.first_seconds: float | None = None
        """How long its first message was on the link, where that could be told."""

    def _begin(self) -> None:
        self.picture_id, self.inbox = self.stream.begin()
        self.result.request_id = f"{self.stream.request_id}-{self.picture_id}"

    async def one_shot(self, indices: Indices) -> None:
        """All planes at once, one answer."""
        self._begin()
        try:
            await self._send(indices, 1, self.result.level)
            await self._answered()
        finally:
            self.stream.end(self.picture_id, give_up=not self.result.predictions)

    async def file(self, data: bytes) -> None:
        """A file, one answer."""
        self._begin()
        try:
            self.result.payload_bytes += len(data)
            await self.stream.send(pb.PictureFile(picture_id=self.picture_id, file=data, top_k=self.top_k), 0)
            await self._answered()
        finally:
            self.stream.end(self.picture_id, give_up=not self.result.predictions)

    async def progressive(self, indices: Indices, enough: float, forecast: Forecast, steps: Sequence[int]) -> None:
        """Up to the levels of `steps`, then plane after plane, one round trip of them in flight, until the deadline.

        A plane that is not likely to be answered in time is not sent: it would only be in the way of the next picture.
        """
        self._begin()
        deadline, level = self.began + self.result.budget, self.result.level
        plane_bits = 8 * (plane_bytes(len(indices)) + PLANES_MESSAGE_BYTES + FRAMING_BYTES)
        window = 1 + round((forecast.capacity or 0.0) * self.result.round_trip / plane_bits)
        sent, complete = 0, False
        try:
            while not complete and not self._sure(enough):
                left = deadline - time.monotonic()
                if left <= 0 and self.result.predictions:
                    break
                due = next((step for step in steps if step > sent), None)
                if (
                    sent < level
                    and (due or sent - self.arrived < window)
                    and self._worth(sent, plane_bits, left, forecast)
                ):
                    last = due or sent + 1
                    await self._send(indices, sent + 1, last)
                    sent = last
                    continue
                waiting_for_first = not self.result.predictions
                limit = self.began + max(PATIENCE_S, self.result.budget) if waiting_for_first else deadline
                complete = await self._hear(limit)
            overdue = self._overdue(forecast)
            if overdue is not None and (self.sample is None or overdue.capacity < self.sample.capacity):
                self._count(overdue)
        finally:
            self.stream.end(self.picture_id, give_up=not complete)

    def _worth(self, sent: int, plane_bits: float, left: float, forecast: Forecast) -> bool:
        """Whether another plane is likelier in time than not. The first one always is: late is better than nothing."""
        forecast.at_most(self.sample)
        forecast.at_most(self._overdue(forecast))
        if sent == 0 or (forecast.capacity is None and left > 0):
            return True
        return (
            left > 0 and forecast.room(left, self.result.round_trip).chance(self.stream.queued_bits + plane_bits) > 0.5
        )

    def _overdue(self, forecast: Forecast) -> Sample | None:
        return self.stream.overdue(forecast.spent(self.result.round_trip))

    def _sure(self, enough: float) -> bool:
        return bool(self.result.predictions) and self.result.best.probability >= enough

    async def _send(self, indices: Indices, first: int, last: int) -> None:
        level = self.result.level
        payload = write_planes(self.coder, indices, level, first, last)
        self.result.payload_bytes += len(payload)
        planes = pb.Planes(
            picture_id=self.picture_id,
            level=level,
            first_plane=first,
            planes=payload,
            coded=last + 1 - first if self.coder else 0,
            top_k=self.top_k if self.top_k > 1 else 0,
        )
        await self.stream.send(planes, last)

    async def _answered(self) -> None:
        while not self.result.predictions:
            await self._hear(self.began + PATIENCE_S)

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
        if isinstance(answer, Arrived):
            self._learn(answer)
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

    def _learn(self, news: Arrived) -> None:
        first, self.arrived = self.arrived == 0, news.planes
        if first and news.sample is not None:
            self.first_seconds = news.sample.seconds
        self._count(news.sample)

    def _count(self, sample: Sample | None) -> None:
        if sample is not None:
            self.sample = sample if self.sample is None else self.sample + sample
