"""Groups of options: what a command takes as one value is options of its own at the command line."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from artoveq.commands import options as of
from edge_client.modes import File, OneShot, Progressive
from edge_client.rate import BytesPerDay
from tests.conftest import MODEL, NESTED
from wire.artifact import load_artifact
from wire.exceptions import PointError, UsageError

MANIFEST = load_artifact(MODEL, edge=True).manifest


def test_the_fields_of_a_group_are_options_in_the_place_of_its_parameter() -> None:
    said = []

    @of.grouped
    def command(
        picture: str, *, service: of.Service, top_k: of.TopK = 1, payload: of.LabelPayload, credentials: of.Credentials
    ) -> None:
        said.append((picture, service, top_k, payload, credentials))

    app = typer.Typer()
    app.command()(command)
    words = ["a.png", "--server", "there:1", "--bytes", "100", "--webp", "--token", "secret", "--top-k", "3"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert said == [
        (
            "a.png",
            of.Service(server="there:1"),
            3,
            of.LabelPayload(max_bytes=100, webp=True),
            of.Credentials(token="secret"),
        )
    ]
    options = [param.name for param in typer.main.get_command(app).params]
    assert options[:5] == ["picture", "server", "model", "fingerprint", "top_k"]


def test_options_say_how_pictures_are_sent() -> None:
    assert of.LabelPayload().mode(MANIFEST) == OneShot()
    assert of.LabelPayload(progressive=True, min_confidence=0.9).mode(MANIFEST) == Progressive(min_confidence=0.9)
    assert of.Payload(level=3).mode(MANIFEST) == OneShot(point=MANIFEST.levels[3])
    assert of.LabelPayload(webp=True).mode(MANIFEST) == File()
    assert of.LabelPayload(point=0).mode(MANIFEST) == OneShot(point=0)
    metered = of.LabelPayload(bytes_per_day=2e7)
    assert metered.mode(MANIFEST) == Progressive()
    policy = metered.policy()
    assert isinstance(policy, BytesPerDay) and policy.bytes_per_day == 2e7
    assert of.LabelPayload().policy() is None


@pytest.mark.parametrize(
    ("text", "count"), [("20MB", 2e7), ("20 MB", 2e7), ("500kB", 5e5), ("1.5G", 1.5e9), ("1e6", 1e6), ("7B", 7)]
)
def test_bytes_have_units(text: str, count: float) -> None:
    assert of.byte_count(text) == count


@pytest.mark.parametrize("text", ["0", "0MB", "-1", "20 apples", "", "MB", "inf"])
def test_no_bytes_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="no number of bytes above 0; write for example 20MB"):
        of.byte_count(text)


@pytest.mark.parametrize("payload", [of.LabelPayload(point=0), of.LabelPayload(bytes_per_day=2e7)])
def test_a_model_without_a_local_head_is_not_asked_for_its_answer(payload: of.LabelPayload) -> None:
    with pytest.raises(PointError, match="nested has no local head"):
        payload.mode(load_artifact(NESTED, edge=True).manifest)


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        (of.Payload(point=1, max_bytes=100), "Give one of --point, --level and --bytes."),
        (of.LabelPayload(webp=True, progressive=True), "leave --webp off, or the others"),
        (of.LabelPayload(webp=True, point=1), "leave --webp off, or the others"),
        (of.LabelPayload(bytes_per_day=1e6, min_confidence=0.9), "decides itself what is sent"),
        (of.LabelPayload(bytes_per_day=1e6, point=1), "decides itself what is sent"),
        (of.Payload(point=0, progressive=True), "leave --progressive off"),
    ],
)
def test_options_that_contradict_each_other_are_refused(payload: of.Payload, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        payload.mode(MANIFEST)
