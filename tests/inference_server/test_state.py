"""Pictures on a stream, as plans in virtual time."""

from __future__ import annotations

import numpy as np
import pytest

from inference_server.streams.actions import (
    Answered,
    Begun,
    Completed,
    EncodeFile,
    Failed,
    Report,
    Respond,
    Withdraw,
)
from tests.inference_server.stream_plan import BLOCKS, PLANE, Plan
from wire.bundles import MOST, bundled
from wire.exceptions import (
    ProtocolError,
    ServerError,
    ServerOverloaded,
    ServerUnavailable,
)
from wire.generated import remote_inference_pb2 as pb


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


def test_reports_are_handed_on() -> None:
    plan = Plan()
    report = pb.Report(point=3)
    assert plan.say(pb.StreamRequest(report=report)) == [] and plan.notes(Report) == [Report(report)]


@pytest.mark.parametrize("request_", [pb.StreamRequest(), pb.StreamRequest(hello=pb.Hello())])
def test_what_is_not_expected_ends_the_stream(request_: pb.StreamRequest) -> None:
    with pytest.raises(ProtocolError, match="is not expected here"):
        Plan().say(request_)
