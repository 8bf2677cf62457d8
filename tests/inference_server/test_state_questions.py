"""Questions on a stream, as plans in virtual time."""

from __future__ import annotations

import json

import pytest

from inference_server.streams.actions import (
    Completed,
    Failed,
    Respond,
)
from tests.inference_server.stream_plan import REFINABLE, Plan
from tests.wire.manifests import signed
from wire.exceptions import (
    PictureNotKept,
    QuestionError,
)
from wire.manifest_json import parse_manifest

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
