"""`artoveq watch`: real videos, a real folder, a real server; receivers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path

import cv2
import pytest

from artoveq.processes import ServerProcess, server_process
from artoveq.watch.frames import Frame, open_frames
from edge_client import Spool
from tests.conftest import MODEL, PICTURES
from wire.exceptions import FrameError
from wire.pictures import read_picture

FPS = 30


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds; frame i has the grey value 4·i in its corner."""
    path = tmp_path_factory.mktemp("video") / "dingo.avi"
    picture = cv2.resize(read_picture(PICTURES / "dingo.png")[..., ::-1], (160, 160))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), FPS, (160, 160))
    for i in range(2 * FPS):
        frame = picture.copy()
        frame[:32, :32] = 4 * i
        writer.write(frame)
    writer.release()
    return path


async def taken(source: str, pause: float, most: int) -> list[tuple[Frame, float]]:
    """Frames with their ages, taken by somebody who needs `pause` seconds for each."""
    found: list[tuple[Frame, float]] = []
    async for frame in open_frames(source):
        found.append((frame, frame.age))
        if len(found) == most:
            break
        await asyncio.sleep(pause)
    return found


def corner(frame: Frame) -> int:
    return round(float(frame.picture[4:28, 4:28].mean()) / 4)


@pytest.mark.slow
def test_a_video_plays_on_while_the_link_is_busy(video: Path) -> None:
    found = asyncio.run(taken(str(video), 0.3, 100))
    numbers = [corner(frame) for frame, _ in found]
    assert numbers == sorted(set(numbers)) and len(numbers) <= 15  # seven, where nothing else wants the cores
    assert all(later - earlier > 2 for earlier, later in pairwise(numbers[1:-1]))
    # The newest frame: no older than the time from one frame to the next, and what a busy machine adds.
    assert sorted(age for _, age in found)[len(found) // 2] < 2 / FPS
    assert found[0][0].picture.shape == (160, 160, 3)


async def names_of(frames: AsyncIterator[Frame], most: int) -> list[str]:
    """Of the next ones."""
    return [(await asyncio.wait_for(anext(frames), 20)).name for _ in range(most)]


def arrive(folder: Path, *names: str) -> None:
    for name in names:
        shutil.copy(PICTURES / "dingo.png", folder / f"{name}.png")


def test_of_a_folder_every_picture_is_taken_from_the_start_on(tmp_path: Path) -> None:
    arrive(tmp_path, "before")

    async def run() -> None:
        frames = open_frames(f"folder:{tmp_path}")
        arrive(tmp_path, *"abcdefgh")  # before anything is taken, for example while the server is looked for
        assert await names_of(frames, 8) == [f"{name}.png" for name in "abcdefgh"]
        arrive(tmp_path, "i", "before")  # another picture under a name that was there
        os.utime(tmp_path / "before.png", (1, 1))
        assert await names_of(frames, 2) == ["i.png", "before.png"]

    asyncio.run(run())


def test_also_what_is_there_is_taken_where_that_is_asked_for(tmp_path: Path) -> None:
    arrive(tmp_path, "b", "a")
    (tmp_path / "notes.txt").write_text("no picture")
    assert asyncio.run(names_of(open_frames(str(tmp_path), existing=True), 2)) == ["b.png", "a.png"]
    with pytest.raises(FrameError, match="--existing is for the pictures"):
        open_frames(str(tmp_path / "notes.txt"), existing=True)


def test_what_came_while_nobody_watched_is_taken_by_who_has_the_spool(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    arrive(folder, "before")

    async def run(*names: str) -> list[bytes]:
        """Takes these, of which all but the last are ticked off: that is when the process ends."""
        spool, keys = Spool(tmp_path / "s.db", 10), []
        frames = open_frames(str(folder), spool=spool)
        for name in names:
            frame = await asyncio.wait_for(anext(frames), 20)
            assert frame.name == f"{name}.png" and frame.arrival is not None
            keys.append(frame.key)
            if name != names[-1]:
                spool.tick_off(frame.arrival.folder, {frame.arrival.name: frame.arrival.mark})
        spool.close()
        return keys

    asyncio.run(run())
    arrive(folder, "a", "b", "c")
    first = asyncio.run(run("a", "b"))
    again = asyncio.run(run("b", "c"))
    assert first[1] == again[0] and len({*first, *again}) == 3  # the same picture has the same key


def test_a_damaged_file_is_said_to_be_one_and_delays_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("artoveq.watch.arrivals.WRITING_S", 0.3)
    spool = Spool(tmp_path / "s.db", 10)

    async def run() -> None:
        frames = open_frames(str(tmp_path), spool=spool)
        (tmp_path / "cut.png").write_bytes((PICTURES / "dingo.png").read_bytes()[:5000])
        (tmp_path / "gone.png").write_bytes(b"cut")
        arrive(tmp_path, "whole")
        assert await names_of(frames, 1) == ["whole.png"]
        (tmp_path / "gone.png").unlink()
        waiting = asyncio.ensure_future(anext(frames))
        await asyncio.sleep(1)
        arrive(tmp_path, "next")
        assert (await asyncio.wait_for(waiting, 20)).name == "next.png"

    asyncio.run(run())
    assert "cut.png: is damaged" in caplog.text and "gone.png was taken away before it was read" in caplog.text
    assert list(spool.taken(tmp_path.resolve()) or ()) == ["cut.png"]
    spool.close()


def test_a_file_that_is_still_written_is_waited_for(tmp_path: Path) -> None:
    whole = (PICTURES / "dingo.png").read_bytes()

    async def run() -> str:
        (tmp_path / "slow.png").write_bytes(whole[:5000])
        first = asyncio.ensure_future(anext(open_frames(str(tmp_path))))
        await asyncio.sleep(0.3)
        assert not first.done()
        (tmp_path / "slow.png").write_bytes(whole)
        return (await first).name

    assert asyncio.run(run()) == "slow.png"


@pytest.mark.parametrize(
    ("source", "said"),
    [("camera:front", "no camera"), ("/nowhere/at/all", "no file or folder"), (str(PICTURES / "ATTRIBUTION.md"), "")],
)
def test_what_gives_no_frames_is_refused(source: str, said: str) -> None:
    with pytest.raises(FrameError, match=said or "cannot be opened as a video"):
        asyncio.run(taken(source, 0, 1))


class _Receiver(HTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[dict[str, object]] = []


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(json.loads(body))  # type: ignore[attr-defined]
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[_Receiver]:
    with _Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_the_command_answers_for_every_frame_it_took(server: ServerProcess, video: Path, receiver: _Receiver) -> None:
    command = [sys.executable, "-m", "artoveq", "watch", str(video), "--server", server.address, "--json"]
    command += ["--model", str(MODEL), "--webhook", f"http://127.0.0.1:{receiver.server_port}/", "--report"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["frame"] for r in records] == list(range(1, len(records) + 1))
    assert {r["class"] for r in records} == {"dingo"} and records[0]["source"] == "dingo.avi"
    assert receiver.bodies == records


@pytest.mark.slow
def test_frames_taken_while_the_server_is_away_have_the_edge_s_own_answer(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(server_process(MODEL, "--port", port))
        command = [
            sys.executable,
            "-m",
            "artoveq",
            "watch",
            f"folder:{tmp_path}",
            "--existing",
            "--server",
            first.address,
            "--json",
        ]
        watching = stack.enter_context(
            subprocess.Popen([*command, "--model", str(MODEL)], stdout=subprocess.PIPE, text=True)
        )
        stack.callback(watching.terminate)
        assert watching.stdout is not None
        shutil.copy(PICTURES / "dingo.png", tmp_path / "a.png")
        assert json.loads(watching.stdout.readline())["class"] == "dingo"
        first.process.kill()
        first.process.wait()
        shutil.copy(PICTURES / "dingo.png", tmp_path / "b.png")
        alone = json.loads(watching.stdout.readline())
        assert alone["local"] and alone["point"] == 0 and "No server answers" in alone["unanswered"]
        stack.enter_context(server_process(MODEL, "--port", port))
        for name in "cdefghij":  # gRPC looks for the server again in growing pauses
            shutil.copy(PICTURES / "dingo.png", tmp_path / f"{name}.png")
            record = json.loads(watching.stdout.readline())
            assert record["source"] == f"{name}.png"
            if not record["local"]:
                break
        assert record["class"] == "dingo" and not record["local"]


@pytest.mark.slow
def test_kept_frames_are_answered_once_each_when_the_server_is_back(tmp_path: Path) -> None:
    pictures, spool = tmp_path / "in", tmp_path / "spool.db"
    pictures.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    address = f"127.0.0.1:{port}"
    command = [
        sys.executable,
        "-m",
        "artoveq",
        "watch",
        f"folder:{pictures}",
        "--existing",
        "--server",
        address,
        "--json",
    ]
    command += ["--model", str(MODEL), "--spool", str(spool), "--spool-pictures", "2"]

    with contextlib.ExitStack() as stack:
        first = stack.enter_context(server_process(MODEL, "--port", port))
        watching = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        stack.callback(watching.terminate)
        assert watching.stdout is not None

        def told() -> dict[str, object]:
            record: dict[str, object] = json.loads(watching.stdout.readline())  # type: ignore[union-attr]
            return record

        arrive(pictures, "a")
        assert told()["class"] == "dingo"
        first.process.kill()
        first.process.wait()
        for name in "bcd":
            arrive(pictures, name)
            record = told()
            assert record["source"] == f"{name}.png" and record["kept"] is True
        dropped = told()  # two are kept, so the oldest had to go, and is said to have gone
        assert dropped["source"] == "b.png" and "spool was full" in str(dropped["error"])
        stack.enter_context(server_process(MODEL, "--port", port))
        delivered = [told(), told()]
        assert [d["source"] for d in delivered] == ["d.png", "c.png"]  # the newest first
        assert all(d["delivered"] is True and d["class"] == "dingo" for d in delivered)
        for name in "efghij":
            arrive(pictures, name)
            record = told()
            if "delivered" not in record and "class" in record:
                break
        assert record["class"] == "dingo"
