"""What the decoder made of a picture, and the message that carries it."""

from __future__ import annotations

from dataclasses import dataclass

from wire.generated import remote_inference_pb2 as pb
from wire.manifest import Manifest
from wire.tasks import Output, Task
from wire.tasks.free_text import Said


@dataclass(frozen=True, slots=True)
class Decoded:
    """One picture's output at one operating point. queue and decode in seconds.

    said: where answers are free text, the answer so far. partial: more of it will be said.
    """

    point: int
    output: Output
    queue: float
    decode: float
    said: Said | None = None
    partial: bool = False


def answer_message(
    decoded: Decoded, task: Task, manifest: Manifest, top_k: int, *, picture_id: int = 0, final: bool = True
) -> pb.Answer:
    """As it crosses the wire; top_k: as in `Payload`."""
    answer = pb.Answer(
        picture_id=picture_id,
        point=decoded.point,
        partial=decoded.partial,
        final=final and not decoded.partial,
        queue_us=round(decoded.queue * 1e6),
        decode_us=round(decoded.decode * 1e6),
    )
    task.fill(answer, decoded.output if decoded.said is None else decoded.said, manifest, top_k)
    return answer
