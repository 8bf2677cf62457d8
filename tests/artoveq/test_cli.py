"""The command as a user runs it: processes, exit codes, sentences."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from artoveq.processes import ServerProcess
from tests.conftest import MODEL, NESTED, PICTURES, ROOT
from wire.artifact import load_artifact

pytestmark = pytest.mark.slow  # each test starts processes


def artoveq(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
    command = [sys.executable, "-m", "artoveq", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=120, cwd=ROOT, check=False)
    return done.returncode, done.stdout.decode(), " ".join(done.stderr.decode().split())


def test_classify_for_people_and_for_programs(server: ServerProcess) -> None:
    code, out, _ = artoveq("classify", str(PICTURES / "dingo.png"), "--server", server.address, "--level", "8")
    assert code == 0 and "dingo.png: dingo" in out and f"point {len(load_artifact(MODEL).manifest.points)}," in out
    code, out, _ = artoveq(
        "classify", str(PICTURES), "--server", server.address, "--budget", "5s", "--progressive", "--json"
    )
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [Path(line["picture"]).name for line in lines] == ["dingo.png", "dog.png", "fox.png"]
    assert lines[0]["class"] == "dingo" and lines[0]["deadline_met"] and 256 < lines[0]["payload_bytes"] <= 512
    manifest = load_artifact(MODEL).manifest
    best = max(manifest.chain, key=lambda number: manifest.point(number).metric)  # later planes would not help
    assert lines[0]["answers"][-1]["point"] == best


def test_a_point_by_its_bytes(server: ServerProcess) -> None:
    picture, manifest = str(PICTURES / "dingo.png"), load_artifact(MODEL).manifest
    asked = ["classify", picture, "--server", server.address, "--budget", "5s", "--json"]
    code, out, _ = artoveq(*asked, "--bytes", "104")
    found = json.loads(out)
    assert code == 0 and found["point"] == manifest.point_within(104) and found["payload_bytes"] <= 104
    assert found["sizes"] == list(manifest.point(found["point"]).sizes)
    code, out, _ = artoveq(*asked, "--bytes", "104", "--progressive")
    assert code == 0 and json.loads(out)["answers"][-1]["point"] == found["point"]
    code, out, err = artoveq(*asked, "--bytes", "3")
    assert code == 0 and json.loads(out)["point"] == 1 and "takes 8 bytes, more than 3; it is sent" in err


def test_the_edge_alone_needs_no_server() -> None:
    alone = ["classify", str(PICTURES / "dingo.png"), "--server", "127.0.0.1:9", "--model", str(MODEL), "--point", "0"]
    code, out, _ = artoveq(*alone)
    assert code == 0 and "0 bytes, on the edge" in out
    code, out, _ = artoveq(*alone, "--json")
    found = json.loads(out)
    assert code == 0 and found["local"] and found["point"] == 0 == found["payload_bytes"]


def test_classify_standard_input(server: ServerProcess) -> None:
    data = (PICTURES / "dingo.png").read_bytes()
    code, out, _ = artoveq("classify", "-", "--server", server.address, "--level", "8", "--json", stdin=data)
    assert code == 0 and json.loads(out)["class"] == "dingo"


def test_a_bad_picture_does_not_keep_the_others_from_an_answer(server: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no picture")
    code, out, _ = artoveq(
        "classify", str(tmp_path / "bad.png"), str(PICTURES / "dingo.png"), "--server", server.address, "--json"
    )
    bad, good = map(json.loads, out.splitlines())
    assert code == 1 and "is not a picture" in bad["error"] and good["answers"]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--level", "0"], 1, "Level 0 does not exist"),
        (["--level", "9"], 1, "Level 9 does not exist"),
        (["--point", "-1"], 1, "Point -1 does not exist"),
        (["--point", "0", "--model", str(NESTED)], 1, "has no local head"),
        (["--progressive", "--min-confidence", "1.2"], 2, "min_confidence is a probability from 0 to 1, not 1.2"),
        (["--bytes-per-day", "0"], 2, "'0' is no number of bytes above 0; write for example 20MB"),
        (["--point", "99"], 1, "Point 99 does not exist"),
        (["--level", "fast"], 2, "'fast' is not a number"),
        (["--level", "3", "--bytes", "104"], 1, "Give one of --point, --level and --bytes"),
        (["--webp", "--progressive"], 1, "A file has no operating point"),
        (["--budget", "soon"], 2, "'soon' is not a time above 0"),
        (["--budget", "0ms"], 2, "is not a time above 0"),
        (["--budget", "50"], 2, "'50' has no unit; write '50ms' or '50s'"),
        (["--model", "nowhere"], 1, "nowhere is not an artifact"),
        (["--server", "127.0.0.1:9"], 1, "No server answers at 127.0.0.1:9"),
    ],
)
def test_faults_are_one_sentence(server: ServerProcess, options: list[str], code: int, said: str) -> None:
    picture = str(PICTURES / "dingo.png")
    got, _, errors = artoveq("classify", picture, "--server", server.address, *options)
    assert got == code and "Traceback" not in errors
    assert said in errors.replace("│ ", "").replace(" │", "")


def test_scenarios_are_read_from_committed_figures() -> None:
    code, out, _ = artoveq("evaluate", "--scenario", "S1", "--scenario", "S3")
    rows = {row["artifact"]: row for row in map(json.loads, out.splitlines())}
    assert code == 0 and set(rows) == {p.parent.name for p in (ROOT / "models").glob("*/manifest.json")}
    manifest = load_artifact(MODEL).manifest
    levels = [manifest.point(number).metric for number in manifest.levels.values()]
    assert rows[MODEL.name]["S1"] == pytest.approx(sum(levels) / 8, abs=1e-6)
    assert rows[MODEL.name]["S3"] > rows[MODEL.name]["S1"]
    code, _, err = artoveq("evaluate", str(MODEL))
    assert code == 2 and "Give one artifact and --data" in err


def test_what_cannot_be_served_is_refused_before_the_training(tmp_path: Path) -> None:
    text = (ROOT / "training" / "recipes" / "imagewoof64-compact-nested.toml").read_text()
    (tmp_path / "r.toml").write_text(text.replace("[codebook]", '[network]\nnorm = "whole batch"\n\n[codebook]'))
    code, _, err = artoveq("train", str(tmp_path / "r.toml"), "--data", "folder:/nowhere")
    assert code == 1 and "so it is not exported" in err


def test_a_port_in_use() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for option, other in (("--port", "--http-port"), ("--http-port", "--port")):
            code, _, errors = artoveq("serve", "--model", str(MODEL), "--host", "127.0.0.1", option, port, other, "0")
            assert code == 1 and f"The port {port} on 127.0.0.1 is in use" in errors and "Traceback" not in errors
            assert "add_port.cc" not in errors  # which gRPC would say as well


def test_serve_without_a_model(tmp_path: Path) -> None:
    code, _, errors = artoveq("serve", "--model", str(tmp_path))
    assert code == 1 and "is not an artifact" in errors


def test_the_demo_ends_with_its_summary() -> None:
    code, out, errors = artoveq("demo", "--length", "4s")
    assert code == 0 and not errors, errors
    summary = out.partition("Summary")[2].splitlines()[1:]
    assert [line.split()[0] for line in summary if line] == ["one-shot", "progressive", "JPEG", "WebP", "Serve"]
    assert "in time" in out and "dingo" in out


def test_the_demo_needs_a_trace(tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text("0,fast\n")
    code, _, errors = artoveq("demo", "--trace", str(tmp_path / "trace.csv"))
    assert code == 1 and "is not a CSV of seconds,kilobits per second" in errors


@pytest.mark.parametrize(("name", "value"), [("ARTOVEQ_QUEUE_PICTURES", "0"), ("ARTOVEQ_PORT", "high")])
def test_a_setting_that_is_not_possible(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    code, _, errors = artoveq("serve", "--model", str(MODEL))
    key = name.removeprefix("ARTOVEQ_").lower()
    assert code == 1 and f"The server cannot use these settings: {key}: " in errors
