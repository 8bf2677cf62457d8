"""Questions as people write them, and what a model reads of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.wire.manifests import manifest_of, signed, values_of
from wire.exceptions import ArtifactError, ProtocolError, QuestionError
from wire.generated import remote_inference_pb2 as pb
from wire.manifest_json import parse_manifest
from wire.questions import NO_QUESTION, question_of, text_of
from wire.tasks import task_of
from wire.tasks.free_text import Said
from wire.tasks.question_answering import PossibleAnswer, QuestionAnswer

BASE = {"package": "words", "version": "1", "file": "words.gguf", "sha256": "0" * 64}
CLASSIFIER = manifest_of((1,), [(2,)])
QUESTIONS = {"vocabulary": ["is", "it", "a", "red", "what's", "t-shirt"], "longest": 5, "answers": ["no", "yes"]}
VALUES = values_of((1,), [(2,)])
VALUES["task"] = {"name": "question answering", "metric": "accuracy", "questions": QUESTIONS}
ASKED = parse_manifest(json.dumps(signed({k: v for k, v in VALUES.items() if k != "fingerprint"})), "a manifest")
TASK = task_of(ASKED)
SAYING = {"name": "question answering", "metric": "accuracy", "free_text": {"longest": 48}}
SPOKEN = parse_manifest(
    json.dumps(signed({**{k: v for k, v in VALUES.items() if k != "fingerprint"}, "task": SAYING, "base": BASE})), "it"
)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Is it red?", [1, 2, 4, 0, 0]),
        ("  is\u00a0IT\u2002\uff32ED ??", [1, 2, 4, 0, 0]),  # NFKC makes one of wide letters and odd spaces
        ("What's a T-shirt", [5, 3, 6, 0, 0]),
        ("is it a red red", [1, 2, 3, 4, 4]),
    ],
)
def test_a_question_is_read_as_numbers_of_words(text: str, numbers: list[int]) -> None:
    found = question_of(ASKED, text)
    assert found.dtype == np.int32 and found.tolist() == numbers


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "The question is empty; ask something"),
        (" \u00a0 ", "The question is empty; ask something"),
        ("is " * 3334, "has 10,002 characters, more than 500; ask a shorter one"),
        ("is it\x1b[2J red", "characters that cannot be seen; ask in plain text"),
        ("is it\nred", "characters that cannot be seen"),
        ("is it \u202ered", "characters that cannot be seen"),
        ("is it \ud800", "characters that cannot be seen"),
        ("?!?", "no word in it"),
        ("\u042d\u0442\u043e \u043a\u0440\u0430\u0441\u043d\u044b\u0439?", "does not know '\u044d\u0442\u043e', '"),
        ("\u7ea2\u8272\u7684\u5417", "none does not know '\u7ea2\u8272\u7684\u5417'; ask in the words of"),
        ("is it blue", "none does not know 'blue'; ask in the words of its manifest"),
        ("b c d e f g h", "does not know 'b', 'c', 'd', 'e', 'f' and 2 more"),
        ("is it a red red red", "has 6 words, and none reads 5; ask a shorter one"),
    ],
)
def test_what_is_no_question_gets_a_sentence(text: str, said: str) -> None:
    with pytest.raises(QuestionError, match=said):
        question_of(ASKED, text)


def test_a_classifier_answers_no_questions() -> None:
    assert question_of(CLASSIFIER, "") is NO_QUESTION
    with pytest.raises(QuestionError, match="none answers no questions; leave the question out, or name another model"):
        question_of(CLASSIFIER, "Is it red?")


def test_the_most_probable_answers_cross() -> None:
    answer = pb.Answer()
    output = TASK.postprocess(np.array([[0.0, 4.0]], np.float32), np.array([2.0], np.float32))
    TASK.fill(answer, output[0], ASKED, 0)
    value = TASK.read(pb.Answer.FromString(answer.SerializeToString()))
    assert isinstance(value, QuestionAnswer)
    assert value.answers == (PossibleAnswer(1, "yes", value.best.probability),)
    assert value.best.probability == pytest.approx(0.880797)
    assert TASK.text(value) == "yes 88%" and TASK.confidence(value) == value.best.probability
    assert TASK.describe(value)["answers"][0]["text"] == "yes" and TASK.utility(0.7) == 0.7
    TASK.fill(several := pb.Answer(), output[0], ASKED, 9)
    assert [one.text for one in TASK.read(several).answers] == ["yes", "no"]


def test_an_answer_of_another_task_is_none() -> None:
    with pytest.raises(ProtocolError, match="answers no question; the server has another task"):
        TASK.read(pb.Answer(classification=pb.Classification(classes=[pb.ClassProbability(name="red")])))


@pytest.mark.parametrize("text", ["Is it red?", "Это красное?", "这是红色的吗", "هل هو أحمر؟", "is it 👋 x", "x" * 500])
def test_a_language_model_is_asked_in_any_script(text: str) -> None:
    found = question_of(SPOKEN, text)
    assert found.dtype == np.int32 and found.shape == (500,) and text_of(found) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "The question is empty; ask something"),
        ("is " * 3334, "has 10,002 characters, more than 500; ask a shorter one"),
        ("is it\x1b[2J red", "characters that cannot be seen; ask in plain text"),
        ("?!?", "no word in it"),
    ],
)
def test_a_language_model_is_asked_no_nonsense(text: str, said: str) -> None:
    with pytest.raises(QuestionError, match=said):
        question_of(SPOKEN, text)


def test_what_is_said_crosses_as_one_answer() -> None:
    task, answer = task_of(SPOKEN), pb.Answer()
    task.fill(answer, Said("The shape is red.", 0.75), SPOKEN, 5)
    value = task.read(pb.Answer.FromString(answer.SerializeToString()))
    assert value == QuestionAnswer((PossibleAnswer(0, "The shape is red.", 0.75),))
    assert task.text(value) == "The shape is red. 75%" and task.confidence(value) == 0.75
    with pytest.raises(ProtocolError, match="answers no question"):
        task.read(pb.Answer())


def test_a_part_of_an_answer_has_these_bytes() -> None:
    part = pb.Answer(picture_id=7, point=3, partial=True)
    task_of(SPOKEN).fill(part, Said("Это к", 0.75), SPOKEN, 1)
    assert part.SerializeToString().hex() == "08071003280152120a101209d0add182d0be20d0ba1d0000403f"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"base": None}, "has a base, which is its language model"),
        ({"task": {**SAYING, "questions": QUESTIONS}}, "has one of `questions` and `free_text`"),
        ({"task": {**SAYING, "free_text": {"longest": 513}}}, r"wrong values \(task.free_text.longest\)"),
    ],
)
def test_a_manifest_says_one_form_of_answers(changed: dict[str, object], said: str) -> None:
    values = {k: v for k, v in VALUES.items() if k != "fingerprint"}
    with pytest.raises(ArtifactError, match=said):
        parse_manifest(json.dumps(signed({**values, "task": SAYING, "base": BASE, **changed})), "it")
