"""Questions from an edge: the picture is sent with the first one, further ones go alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from artoveq.cli import app
from edge_client import Client, File, OneShot, Progressive
from edge_client.modes import Mode
from tests import tiny
from tests.inference_server.serving import Running, serving
from wire.exceptions import QuestionError, UsageError

RED, GREEN = tiny.picture("red"), tiny.picture("green")


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tiny.questions(tmp_path_factory.mktemp("models") / "asked").folder) as running:
        yield running


@pytest.fixture(scope="module")
def client(asking: Running) -> Iterator[Client]:
    with Client(asking.address) as client:
        yield client


def test_a_further_question_is_sent_alone(client: Client) -> None:
    first = client.ask(RED, "Is it red?", budget="5s", top_k=2)
    assert first.reply.text == "yes" and [one.text for one in first.answers[0].value.answers] == ["yes", "no"]
    assert first.payload_bytes > len("Is it red?")
    second = client.ask(RED.copy(), "Is it green?", budget="5s")
    assert second.reply.text == "no" and second.payload_bytes == len("Is it green?")
    assert second.point == second.answers[-1].point == first.answers[-1].point and second.sizes == first.sizes
    assert second.as_record()["answer"] == "no"
    other = client.ask(GREEN, "What colour is it?", budget="5s")
    assert other.reply.text == "green" and other.payload_bytes > len("What colour is it?")


def test_a_picture_that_changes_in_place_is_sent_anew(client: Client) -> None:
    frame = RED.copy()
    assert client.ask(frame, "What colour is it?", budget="5s").reply.text == "red"
    frame[:] = GREEN
    assert client.ask(frame, "What colour is it?", budget="5s").reply.text == "green"


@pytest.mark.parametrize("mode", [OneShot(point=1), File(8, 90), Progressive(point=4)])
def test_who_names_a_point_or_a_file_sends_the_picture(client: Client, mode: Mode) -> None:
    best = len(client.encoder.manifest.points)
    assert client.ask(RED, "Is it red?", OneShot(point=best), budget="5s").reply.text == "yes"
    again = client.ask(RED, "Is it red?", mode, budget="5s")
    assert again.payload_bytes > len("Is it red?")
    assert again.point == (best if isinstance(mode, File) else mode.point)


def test_an_answer_is_refined_plane_by_plane(client: Client) -> None:
    seen = []
    client.ask(GREEN, "Is it red?", OneShot(point=1), budget="5s")
    result = client.ask(RED, "Is it red?", Progressive(), budget="5s", on_answer=seen.append)
    points = [answer.point for answer in result.answers]
    assert points == sorted(set(points)) and seen == result.answers and seen[-1].final
    assert result.reply.text == "yes"


def test_a_server_that_keeps_the_picture_no_longer_gets_it_again(client: Client) -> None:
    first = client.ask(RED, "Is it red?", budget="5s")
    asked = client._client._asked
    for shade in range(17):  # others that this client has not asked about
        client.ask(np.full_like(RED, shade), "Is it red?", budget="5s")
    client._client._asked = asked
    again = client.ask(RED, "Is it red?", budget="5s")
    assert again.reply.text == "yes" and again.payload_bytes >= first.payload_bytes


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("", "The question is empty"),
        ("?" * 10_000, "has 10,000 characters"),
        ("красное", "does not know 'красное'"),
        ("is it\x07 red", "cannot be seen"),
        ("is it mauve", "does not know 'mauve'"),
    ],
)
def test_what_is_no_question_is_refused_on_the_edge(client: Client, question: str, said: str) -> None:
    with pytest.raises(QuestionError, match=said):
        client.ask(RED, question)


def test_a_model_of_questions_classifies_nothing_and_a_classifier_answers_none(client: Client, tmp_path: Path) -> None:
    with pytest.raises(QuestionError, match="The question is empty"):
        client.predict(RED)
    with pytest.raises(UsageError, match="A question is text, not int"):
        client.ask(RED, 7)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="are no classes"):
        _ = client.ask(RED, "Is it red?", budget="5s").best
    with serving(tiny.nested(tmp_path / "nested").folder) as running, Client(running.address) as other:
        with pytest.raises(QuestionError, match="tiny-nested answers no questions; leave the question out"):
            other.ask(RED, "Is it red?")
        with pytest.raises(UsageError, match="This model answers no questions"):
            _ = other.predict(RED, budget="5s").answers[0].reply


def test_the_command_asks_several_questions(asking: Running, tmp_path: Path) -> None:
    Image.fromarray(RED).save(tmp_path / "red.png")
    command = ["ask", str(tmp_path / "red.png"), "Is it red?", "What colour?", "--server", asking.address]
    ran = CliRunner().invoke(app, [*command, "--budget", "5s", "--json"], catch_exceptions=False)
    records = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [(one["question"], one["answer"]) for one in records] == [("Is it red?", "yes"), ("What colour?", "red")]
    assert records[1]["payload_bytes"] == len("What colour?") < records[0]["payload_bytes"]
    with pytest.raises(QuestionError, match="The question is empty"):
        CliRunner().invoke(app, ["ask", str(tmp_path / "red.png"), " "], catch_exceptions=False)
