"""A stream as a plan: what the edge says and what the decoder finds, in virtual time, and what is said about it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from inference_server.answers import Decoded
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
from inference_server.streams.state import StreamState
from tests import tiny
from tests.wire.manifests import chained, manifest_of, signed
from wire.bundles import MOST, bundled
from wire.exceptions import (
    PictureNotKept,
    ProtocolError,
    QuestionError,
    ServerError,
    ServerOverloaded,
    ServerUnavailable,
)
from wire.generated import remote_inference_pb2 as pb
from wire.manifest import parse_manifest
from wire.payload import PayloadCodec
from wire.tasks import task_of

REFINABLE = chained((1, 1), tiny.CHAIN, positions=16, largest=16)
"""Points 1 to 8 are the first 1 to 8 planes, of 2 bytes each."""
BLOCKS = manifest_of((2,), [(2,), (3,), (4,)], positions=16, any_size=True)
PLANE = bytes(2)
ASKED = parse_manifest(
    json.dumps(
        signed(
            {
                **{
                    key: value for key, value in json.loads(REFINABLE.model_dump_json()).items() if key != "fingerprint"
                },
                "task": {
                    "name": "question answering",
                    "metric": "accuracy",
                    "questions": {"vocabulary": ["is", "it", "red", "green"], "longest": 4, "answers": ["no", "yes"]},
                },
            }
        )
    ),
    "a manifest",
)
RED, GREEN = "Is it red?", "Is it green?"


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


def test_a_picture_is_refined_until_its_last_plane() -> None:
    plan = Plan()
    assert plan.planes(1, 1, 2) == ["receipt 1 planes 2"]
    assert plan.decode(1) == ["answer 1 point 2"]
    assert plan.planes(1, 3, 6) == ["receipt 1 planes 8"]
    assert plan.decode(1) == ["answer 1 point 8 final"]
    (note,) = plan.notes(Answered)
    assert isinstance(note, Answered)
    assert (note.target, note.payload_bytes, note.first) == (8, 16, False)
    assert note.seconds == pytest.approx(0.003)
    (done,) = plan.notes(Completed)
    assert isinstance(done, Completed)
    assert (done.picture_id, done.decoded.point, done.seconds) == (1, 8, note.seconds)


def test_a_picture_counts_whose_edge_was_content_with_its_first_planes() -> None:
    plan = Plan()
    plan.planes(1, 1, 2)
    plan.decode(1)
    assert not plan.notes(Completed)
    plan.planes(2, 1, 2, given_up=[1])
    (done,) = plan.notes(Completed)
    assert isinstance(done, Completed) and (done.picture_id, done.decoded.point) == (1, 2)
    plan.take(plan.state.close())
    assert not plan.notes(Completed)  # nobody has answered the second one


def test_a_picture_counts_whose_edge_has_gone_and_one_that_failed_does_not() -> None:
    plan = Plan()
    for picture_id in (1, 2):
        plan.planes(picture_id, 1, 2)
        plan.decode(picture_id)
    plan.planes(2, 1, 1)
    assert plan.notes(Failed) and not plan.notes(Completed)
    plan.take(plan.state.close())
    assert [note.picture_id for note in plan.notes(Completed)] == [1]  # type: ignore[union-attr]


def test_an_older_state_is_answered_and_is_not_final() -> None:
    plan = Plan()
    plan.planes(1, 1, 1)
    plan.planes(1, 2, 7)
    assert plan.decoded(1, 1) == ["answer 1 point 1"]
    assert plan.decoded(1, 8) == ["answer 1 point 8 final"]
    assert plan.decoded(1, 8) == []


def test_an_edge_that_stops_early_gets_its_final_answer() -> None:
    plan = Plan()
    plan.planes(1, 1, 3, last=True)
    assert plan.planes(1, 4, 1) == ["failure 1", "receipt 1 planes 0"]
    plan.planes(2, 1, 3, last=True)
    assert plan.decode(2) == ["answer 2 point 3 final"]


def test_blocks_of_any_point_are_final() -> None:
    plan = Plan(BLOCKS)
    for number, point in ((1, 2), (2, 3), (5, 1)):
        assert plan.block(number, point) == [f"receipt {number} planes 0"]
        assert plan.notes(Begun) == [Begun(point)]
        assert plan.decode(number) == [f"answer {number} point {point} final"]


def test_receipts_tell_bytes_and_the_time_of_arrival() -> None:
    plan = Plan()
    messages = [
        pb.StreamRequest(payload=pb.Payload(picture_id=1, point=1, data=PLANE)),
        pb.StreamRequest(ping=pb.Ping(id=1, padding=bytes(50))),
        pb.StreamRequest(ping=pb.Ping(id=2)),
    ]
    found = []
    for message in messages:
        plan.say(message, after=0.5)
        (action,) = plan.notes(Respond)
        assert isinstance(action, Respond)
        found.append(action.response)
    sizes = [message.ByteSize() for message in messages]
    assert (found[0].receipt.received_bytes, found[0].receipt.received_us) == (sizes[0], 500_000)
    assert (found[1].pong.received_bytes, found[1].pong.received_us) == (sizes[0] + sizes[1], 1_000_000)
    assert (found[2].pong.received_bytes, plan.state.last_activity) == (sizes[0] + sizes[1], 1.5)


def test_receipts_come_in_the_order_of_the_messages() -> None:
    """Those of whole pictures wait for company, those of others do not."""
    plan = Plan(bundles=True)
    assert plan.planes(1, 1, 1, 2) == ["receipt 1 planes 1"]
    assert plan.block(2) == []
    assert plan.planes(3, 1, 1, 2) == ["receipt 2 planes 0", "receipt 3 planes 1"]
    assert plan.block(4) == []
    assert plan.planes(1, 2, 1, 2) == []
    assert plan.decode(2) == ["receipt 4 planes 0", "receipt 1 planes 2", "answer 2 point 1 final"]


def test_an_edge_that_gives_everything_up_leaves_no_heap_of_receipts() -> None:
    plan, said = Plan(bundles=True), []
    for picture_id in range(1, 3 * MOST):
        said += plan.block(picture_id)
        said += plan.say(pb.StreamRequest(cancel=pb.Cancel(picture_id=picture_id)))
    assert said == [f"receipt {number} planes 0" for number in range(1, len(said) + 1)]
    assert len(said) > 2 * MOST - 2


def test_a_bundle_has_one_receipt_and_its_bad_payload_one_failure() -> None:
    plan = Plan()
    payloads = [pb.Payload(picture_id=n, point=1, data=PLANE if n != 3 else b"x") for n in (1, 3, 4)]
    ((request, _),) = bundled(payloads)
    assert plan.say(request) == ["failure 3", "receipt 4 planes 0"]
    assert sorted(plan.decodes) == [1, 4]


@pytest.mark.parametrize("give_up", ["cancel", "given_up"])
def test_what_is_given_up_is_withdrawn_and_never_answered(give_up: str) -> None:
    plan = Plan()
    plan.planes(1, 1, 1)
    if give_up == "cancel":
        assert plan.say(pb.StreamRequest(cancel=pb.Cancel(picture_id=1))) == []
    else:
        assert plan.block(2, given_up=[1, 77]) == ["receipt 2 planes 0"]
    assert plan.notes(Withdraw) == [Withdraw(1)]
    assert plan.decode(1) == []
    assert plan.planes(1, 2, 1) == ["failure 1", "receipt 1 planes 0"]


def test_a_bundle_gives_up_once_however_many_payloads_it_has() -> None:
    plan = Plan(most=MOST + 2)
    plan.planes(1, 1, 1)
    shared = pb.Payload(picture_id=2, point=8, first_plane=1, plane_count=1, data=PLANE * MOST, given_up=[1] * MOST)
    bundle = pb.StreamRequest(bundle=pb.PayloadBundle(shared=shared, lengths=[len(PLANE)]))
    assert len(plan.say(bundle)) == 1 and plan.notes(Withdraw) == [Withdraw(1)]


@pytest.mark.parametrize("kind", ["payload", "bundle"])
def test_a_message_that_gives_up_too_much_ends_the_stream(kind: str) -> None:
    asked = pb.Payload(picture_id=1, point=8, first_plane=1, plane_count=1, data=PLANE, given_up=range(MOST + 1))
    bundle = pb.StreamRequest(bundle=pb.PayloadBundle(shared=asked, lengths=[len(PLANE)]))
    with pytest.raises(ProtocolError, match="gives up at most 256 pictures, not 257"):
        Plan().say(pb.StreamRequest(payload=asked) if kind == "payload" else bundle)


def test_a_question_goes_with_every_state_of_its_picture() -> None:
    plan = Plan(ASKED)
    plan.planes(1, 1, 1, question=RED)
    assert plan.decodes[1].question.tolist() == [1, 2, 3, 0]
    assert plan.decode(1) == ["answer 1 point 1"]
    plan.planes(1, 2, 7)
    assert plan.decodes[1].question.tolist() == [1, 2, 3, 0]
    assert plan.decode(1) == ["answer 1 point 8 final"]


def test_a_further_question_is_answered_from_what_has_come() -> None:
    plan = Plan(ASKED)
    plan.planes(1, 1, 3, question=RED)
    assert plan.ask(2, GREEN, back=1) == ["receipt 2 planes 0"]
    assert (plan.decodes[2].point, plan.decodes[2].question.tolist()) == (3, [1, 2, 4, 0])
    assert plan.decodes[2].newest is plan.decodes[1].newest
    assert plan.decode(2) == ["answer 2 point 3 final"]
    plan.planes(1, 4, 5)
    assert plan.decode(1) == ["answer 1 point 8 final"]
    assert plan.ask(3, back=2) == ["receipt 3 planes 0"] and plan.decode(3) == ["answer 3 point 8 final"]
    assert plan.notes(Completed)


def test_pictures_are_kept_that_were_asked_about_newest_16() -> None:
    plan = Plan(ASKED, most=99)
    for number in range(1, 18):
        plan.planes(number, 1, 8, question=RED)
        plan.decode(number)
    assert plan.ask(18, back=17) == ["failure 18", "receipt 18 planes 0"]
    (note,) = plan.notes(Failed)
    assert isinstance(note, Failed) and isinstance(note.error, PictureNotKept)
    assert "Picture 1 is not kept, or was never asked about; send it again" in str(note.error)
    (said,) = (one.response.failure for one in plan.notes(Respond) if one.response.failure.reason)  # type: ignore[attr-defined]
    assert (said.code, said.reason) == (5, "PICTURE_NOT_KEPT")
    assert plan.ask(19, back=17) == ["receipt 19 planes 0"] and plan.decode(19) == ["answer 19 point 8 final"]


@pytest.mark.parametrize(
    ("manifest", "question", "said"),
    [
        (ASKED, "", "The question is empty"),
        (ASKED, "is it blue", "does not know 'blue'"),
        (REFINABLE, RED, "answers no questions"),
    ],
)
def test_a_question_that_cannot_be_answered_fails_its_picture_alone(manifest: object, question: str, said: str) -> None:
    plan = Plan(manifest)
    assert plan.planes(1, 1, 1, question=question) == ["failure 1", "receipt 1 planes 0"]
    assert plan.ask(2, question or " ", back=1) == ["failure 2", "receipt 2 planes 0"]
    (note,) = plan.notes(Failed)
    assert isinstance(note, Failed) and isinstance(note.error, QuestionError) and said in str(note.error)
    assert not plan.decodes


def test_a_file_is_encoded_then_decoded() -> None:
    plan = Plan()
    request = pb.StreamRequest(file=pb.PictureFile(picture_id=1, file=b"file"))
    assert plan.say(request) == ["receipt 1 planes 0"]
    assert plan.notes(EncodeFile) == [EncodeFile(1, 8, b"file")]
    assert plan.take(plan.state.encoded(1, np.zeros(32, np.int32))) == []
    assert plan.decode(1) == ["answer 1 point 8 final"]
    assert plan.take(plan.state.encoded(1, np.zeros(32, np.int32))) == [] and plan.actions == []


def test_failed_work_fails_its_picture() -> None:
    plan = Plan()
    plan.planes(1, 1, 1)
    plan.block(2)
    full = ServerOverloaded("The queue is full.", 0.25)
    assert plan.take(plan.state.failed(1, full)) == ["failure 1"]
    (said,) = plan.notes(Respond)
    assert isinstance(said, Respond) and said.response.failure.retry_after_ms == 250
    assert plan.notes(Failed) == [Failed(1, full)]
    assert plan.take(plan.state.failed(1, ServerError("Once more."))) == []
    assert plan.decode(2) == ["answer 2 point 1 final"]


def test_so_many_pictures_may_be_unfinished() -> None:
    plan = Plan(most=2)
    plan.planes(1, 1, 1)
    plan.planes(2, 1, 1)
    assert plan.block(3) == ["failure 3", "receipt 3 planes 0"]
    assert plan.planes(2, 2, 7) == ["receipt 2 planes 8"]
    plan.decode(2)
    assert plan.block(4) == ["receipt 4 planes 0"]


def test_a_picture_that_is_not_admitted_fails() -> None:
    def admit(now: float) -> None:
        if now > 1:
            raise ServerUnavailable("The server is stopping.")

    plan = Plan(admit=admit)
    plan.planes(1, 1, 1)
    plan.now = 1.0
    assert plan.block(2) == ["failure 2", "receipt 2 planes 0"]
    assert plan.planes(1, 2, 7) == ["receipt 1 planes 8"]  # what was begun may be finished


def test_the_stream_ends_when_everything_is_answered() -> None:
    plan = Plan()
    plan.planes(1, 1, 1)
    plan.block(2)
    assert plan.take(plan.state.input_ended()) == []
    assert plan.notes(Withdraw) == [Withdraw(1)]  # it would never be complete
    assert plan.decode(2) == ["answer 2 point 1 final", "end"]
    assert plan.drain() == []


def test_nothing_is_said_behind_the_end() -> None:
    """The last picture of a draining stream fails by a message, whose receipt comes before the end."""
    plan = Plan()
    plan.planes(1, 1, 1)
    assert plan.drain() == []
    assert plan.planes(1, 1, 1) == ["failure 1", "receipt 1 planes 0", "end"]
    assert isinstance(plan.actions[-1], End)


def test_a_draining_stream_finishes_what_is_there() -> None:
    plan = Plan()
    plan.planes(1, 1, 1)
    assert plan.drain() == []
    assert plan.planes(1, 2, 7) == ["receipt 1 planes 8"]
    assert plan.decode(1) == ["answer 1 point 8 final", "end"]
    assert Plan().drain() == ["end"]


def test_a_stream_ends_that_says_nothing_for_long() -> None:
    plan = Plan(moves=True)
    plan.block(1)
    assert plan.state.due == pytest.approx(600.001)
    assert plan.take(plan.state.time_passed(599.0)) == []
    assert plan.decode(1) == ["answer 1 point 1 final"]
    assert plan.wait() == ["end"] and plan.state.due == math.inf


def test_an_old_stream_is_told_to_move_and_served_until_its_edge_has_gone() -> None:
    plan = Plan(moves=True, age_s=60.0)
    for picture in range(1, 60):
        plan.now = float(picture)
        assert plan.block(picture) == [f"receipt {picture} planes 0"]
        plan.decode(picture, after=0.0)
    plan.planes(60, 1, 2)
    assert plan.wait() == ["move"] and plan.now == 60.0
    assert plan.planes(60, 3, 6) == ["receipt 60 planes 8"]
    assert plan.decode(60) == ["answer 60 point 8 final"]
    assert plan.block(61) == ["receipt 61 planes 0"]  # nobody else has answered the edge
    assert plan.wait() == ["move"] and plan.now == 120.0
    assert plan.decode(61) == ["answer 61 point 1 final"]
    assert plan.take(plan.state.input_ended()) == ["end"]


def test_an_edge_is_told_which_version_of_its_model_it_is_to_have() -> None:
    plan = Plan(moves=True)
    plan.block(1)
    assert plan.take(plan.state.follow("ab")) == ["move"]
    (said,) = plan.notes(Respond)
    assert isinstance(said, Respond) and said.response.move.fingerprint == "ab"
    assert plan.decode(1) == ["answer 1 point 1 final"]
    plan.take(plan.state.input_ended())
    assert plan.take(plan.state.follow("cd")) == [] == Plan().take(Plan().state.follow("ab"))


def test_an_edge_that_does_not_read_move_is_not_told() -> None:
    plan = Plan(age_s=60.0)
    plan.block(1)
    assert plan.state.due == pytest.approx(600.001)
    assert plan.drain() == []
    assert plan.block(2) == ["failure 2", "receipt 2 planes 0"]
    assert plan.decode(1) == ["answer 1 point 1 final", "end"]


def test_a_stopping_server_tells_edges_to_move_and_takes_what_is_on_its_way() -> None:
    plan = Plan(moves=True, age_s=60.0)
    plan.now = 59.9
    plan.block(1)
    assert plan.drain() == ["move"]
    plan.now += 0.2
    assert plan.block(2) == ["receipt 2 planes 0"]
    assert plan.decode(1) == ["answer 1 point 1 final"]
    assert plan.wait() == [] and plan.now == pytest.approx(60.352)  # not told twice
    assert plan.block(3) == ["failure 3", "receipt 3 planes 0"]
    (note,) = plan.notes(Failed)
    assert isinstance(note, Failed) and isinstance(note.error, ServerUnavailable)
    assert plan.decode(2) == ["answer 2 point 1 final", "end"] and plan.state.due == math.inf
    idle = Plan(moves=True)
    assert idle.drain() == ["move"] and idle.wait() == ["end"] and idle.now == pytest.approx(0.25)


def test_a_stream_that_is_gone_wants_nothing_any_more() -> None:
    plan = Plan()
    plan.planes(1, 1, 1)
    assert plan.state.close() == [Withdraw(1)]
    assert plan.decode(1) == []


def test_reports_are_handed_on() -> None:
    plan = Plan()
    report = pb.Report(point=3)
    assert plan.say(pb.StreamRequest(report=report)) == [] and plan.notes(Report) == [Report(report)]


@pytest.mark.parametrize("request_", [pb.StreamRequest(), pb.StreamRequest(hello=pb.Hello())])
def test_what_is_not_expected_ends_the_stream(request_: pb.StreamRequest) -> None:
    with pytest.raises(ProtocolError, match="is not expected here"):
        Plan().say(request_)
