"""One stream, without the stream: ids, what is on its way, receipts, sync probes. No clock, no socket."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from edge_client.errors import status_error
from edge_client.rate.estimator import LinkEstimator
from edge_client.rate.policy import Link
from edge_client.rate.uplink import SHORTEST_SAMPLE_S, Sample, Uplink
from wire.bundles import MOST, bundled
from wire.exceptions import ArtoveqError
from wire.generated import remote_inference_pb2 as pb

PAYLOAD_FIELDS_BYTES = 18
"""What the fields of a Payload message take beside its data, at most."""
PING_BYTES = 4
ROUND_TRIPS = 16

Part = pb.Payload | pb.PictureFile | pb.Question


@dataclass(frozen=True)
class Arrived:
    """The server has so many planes of a picture; sample: what the newest of them say about the link."""

    picture_id: int
    planes: int
    sample: Sample | None


@dataclass(frozen=True)
class Answered:
    """An answer, or a part of one."""

    picture_id: int
    message: pb.Answer


@dataclass(frozen=True)
class Failed:
    """There will be no answer to a picture."""

    picture_id: int
    error: ArtoveqError


@dataclass(frozen=True)
class Ponged:
    """A ping that the caller sent has arrived, `received_s` by the server's clock."""

    number: int
    received_s: float


@dataclass(frozen=True)
class ToldToMove:
    """The server wants the edge to go elsewhere, and on with the model of this fingerprint, where it is not empty."""

    fingerprint: str = ""


Event = Arrived | Answered | Failed | Ponged
"""About a picture, or a ping."""


@dataclass(frozen=True)
class _Sent:
    """A message on its way. Receipts come in the order of the messages."""

    left: float
    bits: float
    planes: list[tuple[int, int]]
    """(picture, how many of its planes are there once this has arrived)"""


class StreamLedger:
    """What an edge must remember of one stream; the time comes with every call, in seconds of one monotonic clock.

    overhead_bytes, acknowledgement_bytes: of the transport.
    """

    def __init__(self, address: str, overhead_bytes: int, acknowledgement_bytes: int) -> None:
        self.address, self.overhead_bytes = address, overhead_bytes
        self._acknowledgement_bytes = acknowledgement_bytes
        self.reads_coded = self.reads_bundles = False
        self._ids = itertools.count(1)
        self._pictures: set[int] = set()
        self._sync = (0, 0.0, 0.0)
        """The number of the newest sync probe, when it left, and its bits."""
        self._sent: deque[_Sent] = deque()
        self._given_up: list[int] = []
        self._uplink, self._last_activity, self._acknowledged = Uplink(), 0.0, 0.0
        self._round_trips: deque[float] = deque(maxlen=ROUND_TRIPS)

    @property
    def message_bytes(self) -> int:
        """What a further message for a picture takes around its payload."""
        return PAYLOAD_FIELDS_BYTES + self.overhead_bytes

    @property
    def around_bytes(self) -> int:
        """What a picture takes on the link beside its payload."""
        return self.message_bytes + self._acknowledgement_bytes

    @property
    def round_trip(self) -> float:
        """The shortest of the newest round trips, in seconds: the link's own, without what our bits waited for."""
        return min(self._round_trips)

    @property
    def queued_bits(self) -> float:
        """What has been sent, and has not arrived as far as we know."""
        return sum(sent.bits for sent in self._sent)

    def link(self, estimator: LinkEstimator) -> Link:
        """What is known of the link at this moment."""
        return Link(estimator, self.round_trip, self.queued_bits, 8.0 * self.message_bytes)

    def welcomed(self, welcome: pb.Welcome, began: float, now: float) -> None:
        """The server's first message; ours left when it `began`."""
        self.reads_coded, self.reads_bundles = welcome.reads_coded, welcome.reads_bundles
        self._last_activity = now
        self._round_trips.append(now - began)

    def begin(self) -> int:
        """A new picture: its id."""
        picture_id = next(self._ids)
        self._pictures.add(picture_id)
        return picture_id

    def end(self, picture_id: int, *, give_up: bool) -> None:
        """Forgets a picture; with `give_up` the server is told, together with the next payload."""
        self._pictures.discard(picture_id)
        if give_up:
            self._given_up.append(picture_id)

    def messages(self, parts: Sequence[tuple[Part, int]], now: float) -> Iterator[pb.StreamRequest]:
        """Messages that carry parts of pictures, each with the planes that are there once it has arrived."""
        for are_payloads, run in groupby(parts, lambda one: isinstance(one[0], pb.Payload)):
            if not are_payloads:
                for part, _ in run:
                    asked = isinstance(part, pb.Question)
                    message = pb.StreamRequest(question=part) if asked else pb.StreamRequest(file=part)  # type: ignore[arg-type]
                    yield self._noted(message, [(part.picture_id, 0)], now)
                continue
            payloads, planes = zip(*run, strict=True)
            payloads[0].given_up.extend(self._given_up[:MOST])
            del self._given_up[:MOST]
            until = iter(planes)
            for message, inside in bundled(payloads, MOST if self.reads_bundles else 1):
                yield self._noted(message, [(one.picture_id, next(until)) for one in inside], now)

    def _noted(self, message: pb.StreamRequest, planes: list[tuple[int, int]], now: float) -> pb.StreamRequest:
        self._sent.append(_Sent(now, self._bits(message.ByteSize(), now), planes))
        return message

    def _bits(self, message_bytes: int, now: float) -> float:
        """Of a message that is sent now, with all around it."""
        received, self._acknowledged = self._last_activity > self._acknowledged, now
        return 8.0 * (message_bytes + self.overhead_bytes + (self._acknowledgement_bytes if received else 0))

    def sync_probe(self, now: float) -> pb.StreamRequest | None:
        """A sync probe, where one is due and the link is idle: between pictures it is in nobody's way."""
        if self._pictures or self._sent or not self._uplink.sync_due(now):
            return None
        number = next(self._ids)
        self._sync = (number, now, self._bits(PING_BYTES, now))
        return pb.StreamRequest(ping=pb.Ping(id=number))

    def ping(self, size: int) -> tuple[int, pb.StreamRequest]:
        """A ping with `size` bytes of no meaning, and its number."""
        number = next(self._ids)
        return number, pb.StreamRequest(ping=pb.Ping(id=number, padding=bytes(size)))

    def overdue(self, overhead_s: float, now: float) -> Sample | None:
        """What the oldest message on its way says by not having arrived yet: the capacity is at most this.

        overhead_s: seconds that receipts usually take beside the bits; those of whole pictures come with the answer.
        """
        if not self._sent:
            return None
        oldest = self._sent[0]
        seconds = now - max(oldest.left, self._last_activity) - max(self.round_trip, overhead_s)
        return Sample(oldest.bits, seconds, back_to_back=True) if seconds > SHORTEST_SAMPLE_S else None

    def receive(self, response: pb.StreamResponse, now: float) -> Iterator[Event | ToldToMove]:
        """What a response means."""
        self._last_activity = now
        for one in response.bundle.responses or (response,):
            kind = one.WhichOneof("message")
            if kind == "receipt":
                yield from self._arrived(one.receipt)
            elif kind == "answer":
                yield Answered(one.answer.picture_id, one.answer)
            elif kind == "failure":
                said = one.failure
                error = status_error(said.code, said.message, self.address, said.retry_after_ms / 1000, said.reason)
                yield Failed(said.picture_id, error)
            elif kind == "pong":
                yield from self._ponged(one.pong, now)
            elif kind == "move":
                yield ToldToMove(one.move.fingerprint)

    def _ponged(self, pong: pb.Pong, now: float) -> Iterator[Event]:
        number, left, bits = self._sync
        if pong.id == number:
            self._round_trips.append(now - left)
            self._uplink.synced(left, pong.received_us / 1e6, bits)
        else:
            yield Ponged(pong.id, pong.received_us / 1e6)

    def _arrived(self, receipt: pb.Receipt) -> Iterator[Event]:
        if not self._sent:
            return
        sent = self._sent.popleft()
        sample = self._uplink.arrived(sent.left, receipt.received_us / 1e6, sent.bits)
        for picture_id, planes in sent.planes:
            yield Arrived(picture_id, planes, sample)
