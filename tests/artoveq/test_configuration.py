"""Settings by file, environment and option; what is misspelt is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from artoveq import __version__
from artoveq.cli import app
from artoveq.configuration import check_environment, read
from tests.conftest import MODEL
from wire.exceptions import SettingsError

OPTIONS = {"serve": {"model", "queue_pictures"}, "watch": {"server", "ca_file"}}
SERVED = {"ARTOVEQ_TOKENS_FILE"}


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The settings that a server would have started with."""
    found: list[object] = []

    async def serve(settings: object) -> None:
        found.append(settings)

    monkeypatch.setattr("inference_server.server.serve", serve)
    monkeypatch.setattr("inference_server.lifetime.end", lambda: None)
    return found


def run(*words: str) -> None:
    app(list(words), standalone_mode=False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[serve]\nqueu_pictures = 3", r"no option 'queu_pictures'; did you mean queue_pictures\?"),
        ("[wtach]\nserver = 'a:1'", r"no command 'wtach'; did you mean watch\?"),
        ("server = 'a:1'", "server is outside a table"),
        ("[watch", "is not TOML"),
    ],
)
def test_a_file_that_cannot_be_meant_gets_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "artoveq.toml").write_text(text)
    with pytest.raises(SettingsError, match=said):
        read(tmp_path / "artoveq.toml", OPTIONS)


def test_options_in_a_file_are_written_in_either_way(tmp_path: Path) -> None:
    (tmp_path / "artoveq.toml").write_text("[watch]\nca-file = 'ca.pem'\nserver = 'a:1'\n")
    assert read(tmp_path / "artoveq.toml", OPTIONS) == {"watch": {"ca_file": "ca.pem", "server": "a:1"}}


def test_an_edge_leaves_the_table_of_a_server_that_is_not_installed(tmp_path: Path) -> None:
    (tmp_path / "artoveq.toml").write_text("[serve]\nqueue_pictures = 3\n[watch]\nserver = 'a:1'\n")
    found = read(tmp_path / "artoveq.toml", {**OPTIONS, "serve": None})
    assert found["watch"] == {"server": "a:1"}


def test_a_misspelt_variable_is_named(caplog: pytest.LogCaptureFixture) -> None:
    def check(name: str, *, strict: bool) -> None:
        check_environment(
            {name: "tcp://10.0.0.7:1", "PATH": "/bin"} if "PORT" in name else {name: "1"},
            {"ARTOVEQ_SERVER"},
            lambda: SERVED,
            strict=strict,
        )

    kubernetes = ("ARTOVEQ_EDGE_SERVICE_HOST", "ARTOVEQ_EDGE_PORT", "ARTOVEQ_EDGE_PORT_80_TCP_ADDR")
    for known in ("ARTOVEQ_SERVER", "ARTOVEQ_TOKENS_FILE", "ARTOVEQ_CACHE", *kubernetes):
        check(known, strict=True)
    with pytest.raises(SettingsError, match=r"'ARTOVEQ_TOKEN_FILE'; did you mean ARTOVEQ_TOKENS_FILE\?"):
        check("ARTOVEQ_TOKEN_FILE", strict=True)
    with pytest.raises(SettingsError, match="'ARTOVEQ_COLOUR'; look for its name"):
        check("ARTOVEQ_COLOUR", strict=True)
    check("ARTOVEQ_COLOUR", strict=False)
    check("ARTOVEQ_SERVRE", strict=False)
    assert [record.getMessage() for record in caplog.records] == [
        "There is no setting 'ARTOVEQ_SERVRE'; did you mean ARTOVEQ_SERVER?"
    ]


def test_an_option_wins_over_the_environment_and_that_over_a_file(
    served: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "artoveq.toml"
    file.write_text(f'[serve]\nmodel = ["{MODEL}"]\nport = 1\nhttp_port = 2\nqueue_pictures = 3\n')
    monkeypatch.setenv("ARTOVEQ_CONFIG", str(file))
    monkeypatch.setenv("ARTOVEQ_HTTP_PORT", "20")
    monkeypatch.setenv("ARTOVEQ_QUEUE_PICTURES", "30")
    run("serve", "--set", "queue-pictures=300")
    (found,) = served
    assert found.model == (MODEL,) and (found.port, found.http_port, found.queue_pictures) == (1, 20, 300)  # type: ignore[attr-defined]


def test_a_model_may_be_named_by_the_environment_alone(served: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="name its folder with --model, or in ARTOVEQ_MODEL"):
        run("serve")
    monkeypatch.setenv("ARTOVEQ_MODEL", f"{MODEL}:{MODEL}")
    run("serve")
    assert served[0].model == (MODEL, MODEL)  # type: ignore[attr-defined]


@pytest.mark.parametrize("wrong", ["queu_pictures=3", "queue_pictures"])
def test_a_setting_that_there_is_not_is_no_option_either(served: list[object], wrong: str) -> None:
    with pytest.raises(SettingsError, match=r"did you mean queue_pictures|write --set NAME=VALUE"):
        run("serve", "--model", str(MODEL), "--set", wrong)
    assert not served


@pytest.mark.parametrize("give", ["file", "variable", "variable of the command"])
def test_options_of_an_edge_are_given_in_the_same_ways(
    give: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, asked = tmp_path / "artoveq.toml", list[str]()

    def client(server: str, *_: object, **__: object) -> None:
        asked.append(server)
        raise SettingsError("That is enough.")

    monkeypatch.setattr("edge_client.Client", client)
    givers: dict[str, Callable[[], object]] = {
        "file": lambda: file.write_text('[classify]\nserver = "there:1"\nbudget = "50ms"\n'),
        "variable": lambda: monkeypatch.setenv("ARTOVEQ_SERVER", "there:1"),
        "variable of the command": lambda: monkeypatch.setenv("ARTOVEQ_CLASSIFY_SERVER", "there:1"),
    }
    file.write_text("")
    givers[give]()
    with pytest.raises(SettingsError, match="enough"):
        run("--config", str(file), "classify", "a.png")
    assert asked == ["there:1"]


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    run("--version")
    assert capsys.readouterr().out == f"artoveq {__version__}\n"
