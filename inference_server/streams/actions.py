"""What a stream's state wants done. Whoever runs it does so in order; notes are for those who watch."""

from __future__ import annotations

from dataclasses import dataclass, field

from inference_server.answers import Decoded
from inference_server.unread import Unread
from wire.exceptions import ArtoveqError
from wire.generated import remote_inference_pb2 as pb
from wire.payload import Indices
from wire.questions import NO_QUESTION, Question


@dataclass(slots=True)
class Respond:
    """Send this to the edge."""

    response: pb.StreamResponse


@dataclass(slots=True)
class Decode:
    """Decode a picture's newest state, in place of its older one; then `StreamState.decoded` or `failed`."""

    picture_id: int
    point: int
    newest: Indices | Unread
    question: Question = field(default_factory=lambda: NO_QUESTION)


@dataclass(slots=True)
class EncodeFile:
    """Encode a picture file at this point; then `StreamState.encoded` or `failed`."""

    picture_id: int
    point: int
    file: bytes


@dataclass(slots=True)
class Withdraw:
    """Nobody waits for this picture any more."""

    picture_id: int


@dataclass(slots=True)
class Report:
    """Show what the edge says."""

    report: pb.Report


@dataclass(slots=True)
class End:
    """Everything has been said."""


@dataclass(slots=True)
class Begun:
    """Note: a picture has begun, whose planes or block are to end in this point."""

    point: int


@dataclass(slots=True)
class Answered:
    """Note: an answer was sent.

    payload_bytes: what had come of the picture. seconds: since it began. first: of the picture's answers.
    """

    picture_id: int
    target: int
    payload_bytes: int
    decoded: Decoded
    seconds: float
    first: bool


@dataclass(slots=True)
class Completed:
    """Note: a picture will have no further answer than `decoded`, sent so many seconds after it began.

    All of it has come, or the edge was content with a part, or has gone.
    """

    picture_id: int
    decoded: Decoded
    seconds: float


@dataclass(slots=True)
class Failed:
    """Note: a failure was sent."""

    picture_id: int
    error: ArtoveqError


Action = Respond | Decode | EncodeFile | Withdraw | Report | End | Begun | Answered | Completed | Failed
