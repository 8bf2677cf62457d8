"""A stream as a plan: what the edge says and what the decoder finds, in virtual time, and what is said about it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from inference_server.answers import Decoded
from inference_server.streams.actions import (
    Action,
    Decode,
    End,
    Respond,
)
from inference_server.streams.state import StreamState
from tests import tiny
from tests.wire.manifests import chained, manifest_of
from wire.generated import remote_inference_pb2 as pb
from wire.payload import PayloadCodec
from wire.tasks import task_of

REFINABLE = chained((1, 1), tiny.CHAIN, positions=16, largest=16)
"""Points 1 to 8 are the first 1 to 8 planes, of 2 bytes each."""
BLOCKS = manifest_of((2,), [(2,), (3,), (4,)], positions=16, any_size=True)
PLANE = bytes(2)


@dataclass
class Plan:
    """Runs steps at virtual times; what is said is kept in words."""

    manifest: object = REFINABLE
    bundles: bool = False
    moves: bool = False
    age_s: float = math.inf
    most: int = 4
    admit: Callable[[float], None] = lambda now: None
    now: float = 0.0
    decodes: dict[int, Decode] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = StreamState(
            PayloadCodec(self.manifest),  # type: ignore[arg-type]
            task_of(self.manifest),  # type: ignore[arg-type]
            admit=self.admit,
            most_pictures=self.most,
            bundles=self.bundles,
            moves=self.moves,
            idle_s=600.0,
            age_s=self.age_s,
        )

    def take(self, actions: list[Action]) -> list[str]:
        """What the actions say, in words; work and notes are kept."""
        self.actions = actions
        self.decodes |= {action.picture_id: action for action in actions if isinstance(action, Decode)}
        return [_words(action.response) for action in actions if isinstance(action, Respond)] + [
            "end" for action in actions if isinstance(action, End)
        ]

    def say(self, request: pb.StreamRequest, after: float = 0.001) -> list[str]:
        """The edge's message, so long after the last step."""
        self.now += after
        return self.take(self.state.receive(request, self.now))

    def wait(self) -> list[str]:
        """Until something is due."""
        self.now = self.state.due
        return self.take(self.state.time_passed(self.now))

    def drain(self) -> list[str]:
        return self.take(self.state.drain(self.now))

    def planes(self, picture_id: int, first: int, count: int, point: int = 8, **more: object) -> list[str]:
        message = pb.Payload(
            picture_id=picture_id,
            point=point,
            first_plane=first,
            plane_count=count,
            data=PLANE * count,
            **more,  # type: ignore[arg-type]
        )
        return self.say(pb.StreamRequest(payload=message))

    def block(self, picture_id: int, point: int = 1, **more: object) -> list[str]:
        size = self.manifest.point(point).payload_bytes  # type: ignore[attr-defined]
        message = pb.Payload(picture_id=picture_id, point=point, data=bytes(size), **more)  # type: ignore[arg-type]
        return self.say(pb.StreamRequest(payload=message))

    def ask(self, picture_id: int, question: str = "is it red?", **more: int) -> list[str]:
        message = pb.Question(picture_id=picture_id, question=question, **more)
        return self.say(pb.StreamRequest(question=message))

    def decode(self, picture_id: int, after: float = 0.001) -> list[str]:
        """The decoder is done with the newest state of a picture."""
        work = self.decodes.pop(picture_id)
        return self.decoded(picture_id, work.point, after)

    def decoded(self, picture_id: int, point: int, after: float = 0.001) -> list[str]:
        self.now += after
        output = np.array([0.25, 0.75], np.float32)
        return self.take(self.state.decoded(picture_id, Decoded(point, output, 0.002, 0.003), self.now))

    def notes(self, kind: type[Action]) -> list[Action]:
        """Actions of the last step."""
        return [action for action in self.actions if isinstance(action, kind)]


def _words(response: pb.StreamResponse) -> str:
    kind = response.WhichOneof("message")
    if kind == "receipt":
        return f"receipt {response.receipt.picture_id} planes {response.receipt.planes}"
    if kind == "answer":
        final = " final" if response.answer.final else ""
        return f"answer {response.answer.picture_id} point {response.answer.point}{final}"
    if kind == "failure":
        return f"failure {response.failure.picture_id}"
    return str(kind)
