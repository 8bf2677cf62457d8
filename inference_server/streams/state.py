"""One stream's pictures: what has arrived, what is decoded, what is answered.

Events come in with their time, of any one monotonic clock, in seconds; what is to be done about them goes out as
`streams.actions`. There is no clock, thread or socket in here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from inference_server.answers import Decoded, answer_message
from inference_server.streams.accumulator import PlaneAccumulator
from inference_server.streams.actions import (
    Action,
    Answered,
    Begun,
    Completed,
    Decode,
    EncodeFile,
    End,
    Failed,
    Report,
    Respond,
    Withdraw,
)
from inference_server.streams.status import STOPPING, UnknownPicture, status_of
from wire.bundles import MOST, unbundled
from wire.exceptions import (
    PICTURE_NOT_KEPT,
    ArtoveqError,
    PictureNotKept,
    ProtocolError,
    ServerOverloaded,
    ServerUnavailable,
)
from wire.generated import remote_inference_pb2 as pb
from wire.payload import Indices, PayloadCodec
from wire.questions import Question, question_of
from wire.tasks import Task

QUIET_S = 0.25
"""While a server stops: what an edge sent before it read `move` is here by then, on most links."""
UNKNOWN = "Picture {} was not begun, or is done with; begin a new one with plane 1, or a block, and a higher number."


KEPT_PICTURES = 16
"""Of a stream, about which further questions may be asked."""
NOT_KEPT = "Picture {} is not kept, or was never asked about; send it again, with the question."


class _Picture:
    __slots__ = ("arrived", "began", "newest", "payload_bytes", "question", "top_k")

    def __init__(self, arrived: PlaneAccumulator, question: Question, top_k: int, began: float) -> None:
        self.arrived, self.question, self.top_k, self.began = arrived, question, top_k, began
        self.payload_bytes = 0
        self.newest: tuple[Decoded, float] | None = None
        """The newest answer, and how many seconds after the beginning it came."""


class StreamState:
    """What a stream has begun and not yet answered.

    admit: takes a picture at a time, or raises why it is not taken. most_pictures: that may be unfinished.
    bundles, moves: whether the edge reads bundles of responses, and `move`. idle_s: a stream on which nothing is said
    for so long ends. age_s: after so long the edge is told to move, and again after as long. now: when it begins.
    """

    def __init__(
        self,
        codec: PayloadCodec,
        task: Task,
        *,
        admit: Callable[[float], None],
        most_pictures: int,
        bundles: bool,
        moves: bool = False,
        idle_s: float = math.inf,
        age_s: float = math.inf,
        now: float = 0.0,
    ) -> None:
        self._codec, self._manifest, self._task = codec, codec.manifest, task
        self._admit, self._most, self._bundles = admit, most_pictures, bundles
        self._pictures: dict[int, _Picture] = {}
        self._kept: dict[int, PlaneAccumulator] = {}
        """Pictures that were asked about, as far as they have come, the oldest first."""
        self._highest = 0
        self._held: list[Respond] = []
        self._input_ended = self._ended = self._draining = False
        self._moves, self._quiet_s, self._age_s = moves, idle_s, age_s if moves else math.inf
        self._move_at = now + self._age_s
        self.received_bytes = 0
        """Of messages that are counted in receipts."""
        self.last_activity = now
        """When the edge last said something."""

    # What comes from the edge, in the order in which it usually comes.

    def receive(self, request: pb.StreamRequest, now: float) -> list[Action]:
        """A message after the hello.

        Raises:
            ProtocolError: if the stream as a whole cannot go on.
        """
        return [action for actions, _ in self.receive_in_parts(request, now) for action in actions]

    def receive_in_parts(self, request: pb.StreamRequest, now: float) -> Iterator[tuple[list[Action], bool]]:
        """As `receive`, one picture of a bundle after the other; other events may come between two.

        Yields:
            What is to be done, and whether there is more to come.
        """
        self.last_activity = now
        if request.WhichOneof("message") != "bundle":
            yield [*self._received(request, now), *self._end_if_done()], False
            return
        self.received_bytes += request.ByteSize()
        _check_given_up(request.bundle.shared)
        *payloads, last = unbundled(request.bundle)
        for payload in payloads:
            yield self._payload(payload, now), True
        actions = self._receipt(self._payload(last, now), last.picture_id, now)
        yield [*actions, *self._end_if_done()], False

    def _received(self, request: pb.StreamRequest, now: float) -> list[Action]:
        kind = request.WhichOneof("message")
        if kind == "payload":
            self.received_bytes += request.ByteSize()
            _check_given_up(request.payload)
            actions = self._payload(request.payload, now)
            return self._receipt(actions, request.payload.picture_id, now)
        if kind == "file":
            self.received_bytes += request.ByteSize()
            return self._receipt(self._file(request.file, now), request.file.picture_id, now)
        if kind == "question":
            self.received_bytes += request.ByteSize()
            return self._receipt(self._question(request.question, now), request.question.picture_id, now)
        if kind == "cancel":
            return self._forget(request.cancel.picture_id)
        if kind == "ping":
            if request.ping.padding:
                self.received_bytes += request.ByteSize()
            pong = pb.Pong(id=request.ping.id, received_bytes=self.received_bytes, received_us=int(now * 1e6))
            return self._respond(pb.StreamResponse(pong=pong))
        if kind == "report":
            return [Report(request.report)]
        raise ProtocolError(f"A {kind or 'message without content'} is not expected here.")

    def input_ended(self) -> list[Action]:
        """The edge will send nothing more; what it began and did not complete is forgotten."""
        self._input_ended = True
        unfinished = [number for number, picture in self._pictures.items() if not picture.arrived.closed]
        return [*(action for number in unfinished for action in self._forget(number)), *self._end_if_done()]

    # What becomes of the work.

    def encoded(self, picture_id: int, indices: Indices) -> list[Action]:
        """A picture file has been encoded."""
        picture = self._pictures.get(picture_id)
        if picture is None:
            return []  # given up meanwhile
        picture.arrived.put(indices)
        return self._decode_newest(picture_id)

    def decoded(self, picture_id: int, decoded: Decoded, now: float) -> list[Action]:
        """A state of a picture has been decoded, its newest one or an older one, or a part of its answer is there."""
        picture = self._pictures.get(picture_id)
        if picture is None:
            return []  # given up, or failed meanwhile
        arrived, top_k = picture.arrived, picture.top_k
        final = arrived.closed and decoded.point == arrived.point
        answer = answer_message(decoded, self._task, self._manifest, top_k, picture_id=picture_id, final=final)
        actions = self._respond(pb.StreamResponse(answer=answer))
        if decoded.partial:
            return actions
        first, seconds = picture.newest is None, now - picture.began
        picture.newest = decoded, seconds
        actions.append(Answered(picture_id, arrived.target, picture.payload_bytes, decoded, seconds, first))
        if final:
            del self._pictures[picture_id]
            actions += [Completed(picture_id, *picture.newest), *self._end_if_done()]
        return actions

    def failed(self, picture_id: int, error: ArtoveqError) -> list[Action]:
        """Work on a picture has failed."""
        return [*self._fail(picture_id, error), *self._end_if_done()] if picture_id in self._pictures else []

    # How it ends.

    @property
    def due(self) -> float:
        """When `time_passed` will have something to do; later, if the edge says something meanwhile."""
        return math.inf if self._input_ended else min(self._move_at, self.last_activity + self._quiet_s)

    def time_passed(self, now: float) -> list[Action]:
        """It is so late now."""
        if self._input_ended:
            return []
        actions = self._tell_to_move(now) if now >= self._move_at else []
        if now >= self.last_activity + self._quiet_s:
            self._input_ended = True
            actions += self._end_if_done()
        return actions

    def drain(self, now: float) -> list[Action]:
        """The server stops: ends the stream once its pictures are answered.

        An edge that can go elsewhere is told to, and may finish what it began before it knew.
        """
        self._draining = True
        if self._moves and not self._input_ended:
            self.last_activity, self._quiet_s = now, min(self._quiet_s, QUIET_S)
            return self._tell_to_move(now)
        self._input_ended = True
        return list(self._end_if_done())

    @property
    def can_move(self) -> bool:
        """Whether the edge understands that it is to move, and nothing is ending anyway."""
        return self._moves and not self._input_ended and not self._draining

    def move(self, now: float) -> list[Action]:
        """The edge shall open its stream anew, which may lead it to another server."""
        return self._tell_to_move(now) if self.can_move else []

    def follow(self, fingerprint: str) -> list[Action]:
        """The edge shall go on with another version of its model."""
        if not self._moves or self._input_ended:
            return []
        return self._respond(pb.StreamResponse(move=pb.Move(fingerprint=fingerprint)))

    def _tell_to_move(self, now: float) -> list[Action]:
        self._move_at = math.inf if self._draining else now + self._age_s
        return self._respond(pb.StreamResponse(move=pb.Move()))

    def close(self) -> list[Action]:
        """The stream is gone: nothing of it is worked on any more."""
        return [action for picture_id in list(self._pictures) for action in self._forget(picture_id)]

    # One payload: begun, put to the others of its picture, decoded.

    def _payload(self, payload: pb.Payload, now: float) -> list[Action]:
        actions = [action for number in payload.given_up for action in self._forget(number)]
        picture_id = payload.picture_id
        try:
            picture = self._pictures.get(picture_id)
            if picture is None:
                picture = self._begin(payload, now)
                actions.append(Begun(payload.point))
            self._add(picture, payload)
        except ArtoveqError as error:
            return actions + self._fail(picture_id, error)
        return actions + self._decode_newest(picture_id)

    def _decode_newest(self, picture_id: int) -> list[Action]:
        picture = self._pictures[picture_id]
        return [Decode(picture_id, picture.arrived.point, picture.arrived.newest, picture.question)]

    def _begin(self, payload: pb.Payload, now: float) -> _Picture:
        if payload.first_plane > 1:
            raise UnknownPicture(UNKNOWN.format(payload.picture_id))
        arrived = PlaneAccumulator(self._codec, payload.point, by_planes=payload.first_plane == 1)
        return self._new(payload.picture_id, arrived, payload.question, payload.top_k, now)

    def _new(self, picture_id: int, arrived: PlaneAccumulator, text: str, top_k: int, now: float) -> _Picture:
        if picture_id <= self._highest:
            raise UnknownPicture(UNKNOWN.format(picture_id))
        self._highest = picture_id
        if self._draining and self._input_ended:
            raise ServerUnavailable(STOPPING)
        question = question_of(self._manifest, text)
        self._admit(now)
        if len(self._pictures) >= self._most:
            raise ServerOverloaded(f"{len(self._pictures)} pictures are unfinished on this stream; wait for answers.")
        picture = self._pictures[picture_id] = _Picture(arrived, question, top_k, now)
        if text:
            self._keep(picture_id, arrived)
        return picture

    def _keep(self, picture_id: int, arrived: PlaneAccumulator) -> None:
        """As the newest."""
        self._kept.pop(picture_id, None)
        self._kept[picture_id] = arrived
        if len(self._kept) > KEPT_PICTURES:
            del self._kept[next(iter(self._kept))]

    def _add(self, picture: _Picture, payload: pb.Payload) -> None:
        arrived = picture.arrived
        if payload.point != arrived.target:
            raise ProtocolError(f"The point changed from {arrived.target} to {payload.point} within one picture.")
        if payload.first_plane:
            arrived.add_planes(payload.data, payload.packed, payload.first_plane, payload.plane_count)
        elif payload.plane_count:
            raise ProtocolError("Planes are counted from 1; say the first one, or no count for a block.")
        else:
            arrived.add_block(payload.data, payload.packed)
        arrived.closed = arrived.closed or payload.last
        picture.payload_bytes += len(payload.data)

    def _file(self, message: pb.PictureFile, now: float) -> list[Action]:
        best = len(self._manifest.points)
        try:
            arrived = PlaneAccumulator(self._codec, best, by_planes=False)
            picture = self._new(message.picture_id, arrived, message.question, message.top_k, now)
        except ArtoveqError as error:
            return self._fail(message.picture_id, error)
        arrived.closed, picture.payload_bytes = True, len(message.file)
        return [Begun(best), EncodeFile(message.picture_id, best, message.file)]

    def _question(self, message: pb.Question, now: float) -> list[Action]:
        """A picture of its own, as it were, that has come already."""
        picture_id, about = message.picture_id, message.picture_id - message.back
        try:
            question_of(self._manifest, message.question)
            kept = self._kept.get(about)
            if kept is None or not kept.point:
                raise PictureNotKept(NOT_KEPT.format(max(about, 0)))
            arrived = PlaneAccumulator(self._codec, kept.point, by_planes=False)
            arrived.put(kept.newest)
            self._new(picture_id, arrived, message.question, message.top_k, now)
        except ArtoveqError as error:
            return self._fail(picture_id, error)
        return [Begun(arrived.point), *self._decode_newest(picture_id)]

    # What is said.

    def _receipt(self, actions: list[Action], picture_id: int, now: float) -> list[Action]:
        """At once, if the edge may have more to send; else together with the answer, at half the messages."""
        picture = self._pictures.get(picture_id)
        receipt = pb.Receipt(
            picture_id=picture_id,
            planes=picture.arrived.planes if picture else 0,
            received_bytes=self.received_bytes,
            received_us=int(now * 1e6),
        )
        response = pb.StreamResponse(receipt=receipt)
        if self._bundles and picture is not None and picture.arrived.closed and len(self._held) < MOST:
            self._held.append(Respond(response))
            return actions
        actions += self._respond(response)
        return actions

    def _respond(self, response: pb.StreamResponse) -> list[Action]:
        """Behind what is held, so that answers come in the order of what they answer."""
        said: list[Action] = [*self._held, Respond(response)]
        self._held.clear()
        return said

    def _fail(self, picture_id: int, error: ArtoveqError) -> list[Action]:
        said = self._respond(pb.StreamResponse(failure=failure_of(picture_id, error)))
        gone = self._pictures.pop(picture_id, None)  # not completed, whatever answers it had
        return [*said, Failed(picture_id, error), *([Withdraw(picture_id)] if gone else [])]

    def _forget(self, picture_id: int) -> list[Action]:
        picture = self._pictures.pop(picture_id, None)
        if picture is None:
            return []
        return [Withdraw(picture_id), *([Completed(picture_id, *picture.newest)] if picture.newest else [])]

    def _end_if_done(self) -> Iterator[Action]:
        """Behind everything else that an event wants."""
        if self._input_ended and not self._pictures and not self._ended:
            self._ended = True
            yield End()


def failure_of(picture_id: int, error: ArtoveqError) -> pb.Failure:
    """An error as it is told on a stream."""
    failure = pb.Failure(picture_id=picture_id, code=status_of(error).value[0], message=str(error))
    if isinstance(error, ServerOverloaded):
        failure.retry_after_ms = round(1000 * error.retry_after)
    if isinstance(error, PictureNotKept):
        failure.reason = PICTURE_NOT_KEPT
    return failure


def _check_given_up(payload: pb.Payload) -> None:
    if len(payload.given_up) > MOST:
        raise ProtocolError(f"A message gives up at most {MOST} pictures, not {len(payload.given_up)}.")
