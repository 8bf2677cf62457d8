from __future__ import annotations

from pathlib import Path

import pytest

from artoveq.dashboard import dashboard, events
from artoveq.processes import ServerProcess, server_process
from edge_client import Client, OneShot
from tests.conftest import MODEL, PICTURES
from wire.artifact import load_artifact
from wire.exceptions import AccessDenied, ServerUnavailable, UsageError
from wire.pictures import read_picture


def test_edges_are_shown(server: ServerProcess, capsys: pytest.CaptureFixture[str]) -> None:
    picture, point = read_picture(PICTURES / "dingo.png"), load_artifact(MODEL).manifest.point_of_level(3)
    with Client(server.address, str(MODEL), name="[b]\x1b7gate") as client:
        for _ in range(2):
            client.report(client.predict(picture, OneShot(point), budget=5), picture)
        dashboard(f"http://127.0.0.1:{server.http_port}/", None, None, once=True)
    shown = capsys.readouterr().out
    assert "0 pictures waiting" in shown
    (row,) = [line for line in shown.splitlines() if "[b]\ufffd7gate" in line]  # a name is text, never markup
    assert str(point) in row.split() and "100%" in row and "dingo" in row
    assert "kbit/s" in row or "–" in row.split()  # so few bytes need not say anything of so fast a link


@pytest.mark.slow
def test_a_server_that_stops_is_said_to_have_stopped() -> None:
    with server_process(MODEL) as server:
        told = events(f"http://127.0.0.1:{server.http_port}", None, None)
        assert next(told)["connected"] == 0
        server.process.terminate()
        with pytest.raises(ServerUnavailable, match="has stopped"):
            for _ in told:
                pass


@pytest.mark.slow
def test_where_there_is_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="with --token") as refused:
        next(events("http://me:secret@127.0.0.1:1", None, None))
    assert "secret" not in str(refused.value)
    for url, said in (("http://127.0.0.1:1", "refused"), ("localhost:8080", "unknown url type")):
        with pytest.raises(ServerUnavailable, match=rf"No page answers.*{said}.*write http://HOST"):
            next(events(url, None, None))
    (tmp_path / "tokens").write_text("me: 0123456789abcdef\n")
    monkeypatch.setenv("ARTOVEQ_TOKENS_FILE", str(tmp_path / "tokens"))
    with server_process(MODEL) as server:
        url = f"http://127.0.0.1:{server.http_port}"
        with pytest.raises(AccessDenied, match="wants a token"):
            next(events(url, None, None))
        assert next(events(url, "0123456789abcdef", None))["connected"] == 0
