"""Point 0: the edge's own answer, there before a byte is sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from edge_client.encoder import Encoder
from edge_client.modes import File, Mode, OneShot, Progressive
from edge_client.results import Answer, Result
from wire.exceptions import ServerError
from wire.generated import remote_inference_pb2 as pb
from wire.local_head import local_head_of
from wire.payload import Indices
from wire.pictures import Picture
from wire.request_ids import new_request_id
from wire.tasks import Task


@dataclass(frozen=True)
class Local:
    """The answer, and the indices (M,) at the finest point that the same run of the encoder gave in `encode_s` seconds.

    fingerprint: of the model. The answer is final where it is all that was asked for.
    """

    answer: Answer
    indices: Indices
    encode_s: float
    fingerprint: str


def answered_locally(
    encoder: Encoder,
    task: Task,
    picture: Picture,
    mode: Mode,
    top_k: int,
    began: float,
    clock: Callable[[], float],
) -> Local | None:
    """Runs the encoder, where it has an answer of its own, and the mode names no other point and no file.

    began: when the picture was handed over, in seconds of `clock`.

    Raises:
        PointError: if it has none, and nothing else was asked for.
        ArtifactError: if the encoder gives no such answer.
    """
    named = mode.point if isinstance(mode, OneShot) else None
    if named == 0:
        local_head_of(encoder.manifest)
    if encoder.manifest.local_head is None or named or isinstance(mode, File):
        return None
    started = clock()
    indices, outputs = encoder.answer_batch(encoder.fit(picture)[None])
    message = pb.Answer()
    task.fill(message, outputs[0], encoder.manifest, top_k)
    now = clock()
    answer = Answer.from_message(message, task, now - began, 0)
    ends = named == 0 or (isinstance(mode, Progressive) and answer.confidence >= mode.min_confidence)
    return Local(replace(answer, final=ends, local=True), indices[0], now - started, encoder.manifest.fingerprint)


def alone(
    answers: list[Answer],
    budget: float,
    capacity: float | None,
    encode_s: float,
    error: ServerError | None = None,
) -> Result:
    """What stands without a server; error: why it is not asked, or does not answer."""
    return Result(0, budget, capacity, 0.0, encode_s, request_id=new_request_id(), answers=answers, error=error)
