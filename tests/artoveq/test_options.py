"""Groups of options: what a command takes as one value is options of its own at the command line."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from artoveq.commands import options as of
from edge_client.modes import File, OneShot, Progressive
from tests.conftest import MODEL
from wire.artifact import load_artifact
from wire.exceptions import UsageError

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


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        (of.Payload(point=1, max_bytes=100), "Give one of --point, --level and --bytes."),
        (of.LabelPayload(webp=True, progressive=True), "leave --webp off, or the others"),
        (of.LabelPayload(webp=True, point=1), "leave --webp off, or the others"),
    ],
)
def test_options_that_contradict_each_other_are_refused(payload: of.Payload, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        payload.mode(MANIFEST)
