from __future__ import annotations

import contextlib
import os
import random
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artoveq.processes import ServerProcess
from benchmarks.service.measure import disk_of
from edge_client import Client, Kept, Spool
from edge_client.spool import Parts
from tests import tiny
from tests.conftest import MODEL, PICTURES
from tests.inference_server.serving import serving
from wire.exceptions import ModelMismatch, ProtocolError, ServerUnavailable, SpoolError
from wire.pictures import read_picture


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool.db", 3)


def put(spool: Spool, number: int) -> list[Kept]:
    return spool.keep("f" * 64, 8, bytes([number]) * 512, True, {"frame": number})


def test_the_newest_comes_first_and_stays_until_it_is_forgotten(spool: Spool) -> None:
    assert spool.newest() is None
    for number in (1, 2, 3):
        assert put(spool, number) == []
    found = []
    while (kept := spool.newest()) is not None:
        assert spool.newest() == kept
        assert kept.data == bytes([kept.context["frame"]]) * 512
        found.append(kept.context["frame"])
        spool.forget(kept)
    assert found == [3, 2, 1]
    spool.close()


@given(st.integers(1, 5), st.integers(0, 12))
@settings(deadline=None, max_examples=20)
def test_what_is_too_much_is_returned_oldest_first(
    tmp_path_factory: pytest.TempPathFactory, most: int, count: int
) -> None:
    spool = Spool(tmp_path_factory.mktemp("spool") / "s.db", most)
    gone = [kept.context["frame"] for number in range(count) for kept in put(spool, number)]
    assert gone == list(range(max(0, count - most))) and len(spool) == min(most, count)
    spool.close()


KEEPING = """
import sys
from pathlib import Path
from edge_client.spool import Arrival, Spool
folder, spool = Path("/in"), Spool(Path(sys.argv[1]), 100_000)
for number in range(int(sys.argv[2]), 10_000):
    arrival = Arrival(folder, f"{number}.png", "mark")
    spool.keep("f" * 64, 8, b"planes", True, {"frame": number}, arrival=arrival)
    print(number, flush=True)
"""


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_each_picture_once_and_its_file_ticked_off(tmp_path: Path) -> None:
    path, told, rng = tmp_path / "s.db", list[int](), random.Random(0)
    for _ in range(3):
        command = [sys.executable, "-c", KEEPING, str(path), str(len(told))]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as keeping:
            assert keeping.stdout is not None
            told += [int(keeping.stdout.readline()) for _ in range(rng.randrange(1, 20))]
            time.sleep(rng.uniform(0, 0.01))
            keeping.kill()
            told += [int(line) for line in keeping.stdout.read().splitlines()]
        spool = Spool(path, 100_000)
        kept = []
        while (newest := spool.newest()) is not None:
            kept.append(newest)
            spool.forget(newest)
        frames = [one.context["frame"] for one in reversed(kept)]
        assert frames[: len(told)] == told == list(range(len(told))) and len(frames) <= len(told) + 1
        assert spool.taken(Path("/in")) == {f"{frame}.png": "mark" for frame in frames}
        for one in reversed(kept):
            spool.keep(one.fingerprint, one.point, one.data, one.packed, one.context, key=one.key)
        told = frames
        spool.close()


def test_a_second_process_is_told_that_the_spool_is_in_use(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.db", 10)
    with pytest.raises(SpoolError, match="in use by another process"):
        Spool(tmp_path / "s.db", 10)
    put(spool, 1)
    spool.close()


BAD = {
    "key": [b"", bytes(65), "text"],
    "fingerprint": ["", "F" * 64, "0" * 63, b"7"],
    "point": [-1, 2**40, "eight", 1.5],
    "data": [b"", "text", bytes((1 << 20) + 1)],
    "packed": [2, "yes"],
    "context": ["", "{", "[]", "7", '{"a":' * 100_000, b"{}", "1" * 5000],
    "picture": ["text", b"", bytes((1 << 20) + 1)],
}


@pytest.mark.parametrize(("column", "value"), [(column, value) for column, values in BAD.items() for value in values])
def test_a_bad_row_is_set_aside_and_stops_nothing(
    spool: Spool, tmp_path: Path, caplog: pytest.LogCaptureFixture, column: str, value: object
) -> None:
    for number in (1, 2):
        put(spool, number)
    spool.close()
    with closing(sqlite3.connect(tmp_path / "spool.db")) as db, db:
        db.execute(f"UPDATE pictures SET {column} = ? WHERE number = 2", (value,))
    again = Spool(tmp_path / "spool.db", 3)
    newest = again.newest()
    assert newest is not None and newest.context == {"frame": 1}
    assert "sets picture 2 aside" in caplog.text and len(again) == 1
    again.close()
    with closing(sqlite3.connect(tmp_path / "spool.db")) as db:
        (found,) = db.execute(f"SELECT {column} FROM set_aside").fetchall()
        assert found == (value,)


def test_text_that_is_none_stops_nothing_either(spool: Spool, tmp_path: Path) -> None:
    for number in (1, 2):
        put(spool, number)
    spool.close()
    with closing(sqlite3.connect(tmp_path / "spool.db")) as db, db:
        db.execute("UPDATE pictures SET fingerprint = CAST(x'fffe' AS TEXT), key = x'07' WHERE number = 2")
    again = Spool(tmp_path / "spool.db", 3)
    newest = again.newest()
    assert newest is not None and newest.context == {"frame": 1}
    again.close()


def test_what_is_set_aside_is_bounded_too(spool: Spool, tmp_path: Path) -> None:
    for number in range(8):
        put(spool, number)
        newest = spool.newest()
        assert newest is not None
        spool.set_aside(newest, "nobody answers it")
        assert len(spool) == 0
    spool.close()
    with closing(sqlite3.connect(tmp_path / "spool.db")) as db:
        rows = db.execute("SELECT context, reason FROM set_aside").fetchall()
    assert rows == [(f'{{"frame": {number}}}', "nobody answers it") for number in (5, 6, 7)]


def test_files_of_a_folder_are_ticked_off_until_they_are_gone(spool: Spool, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / os.fsdecode(b"th\xe8re")
    assert spool.taken(here) is None
    spool.tick_off(here, {})
    assert spool.taken(here) == {} and spool.taken(there) is None
    odd = os.fsdecode(b"\xff.png")
    spool.tick_off(there, {odd: "1", "b.png": "2"})
    spool.tick_off(there, {"b.png": "3"})
    assert spool.taken(there) == {odd: "1", "b.png": "3"} and spool.taken(here) == {}
    spool.drop(there, [odd])
    assert spool.taken(there) == {"b.png": "3"}
    spool.close()


def test_a_full_disk_is_said_to_be_full_and_loses_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.db", 100_000)
    put(spool, 1)
    with disk_of(200_000), pytest.raises(SpoolError, match="free some space"):
        for number in range(1000):
            put(spool, number % 256)
    kept = len(spool)
    assert kept > 1
    put(spool, 99)  # there is space again
    newest = spool.newest()
    assert newest is not None and newest.context == {"frame": 99} and len(spool) == kept + 1
    spool.close()


def test_what_is_no_spool_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database at all, but long enough to be read as the header of one " * 20)
    for path in (tmp_path / "text", tmp_path / "gone" / "s.db"):
        with pytest.raises(SpoolError, match="cannot be used"):
            Spool(path, 10)


def test_a_spool_of_an_older_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with closing(sqlite3.connect(path)) as old:
        old.execute("CREATE TABLE pictures (number INTEGER PRIMARY KEY, key BLOB, level INTEGER, planes BLOB)")
        old.execute("INSERT INTO pictures VALUES (1, x'00', 8, x'00')")
        old.commit()
    with pytest.raises(SpoolError, match="another version of artoveq; deliver its pictures with that one"):
        Spool(path, 10)
    with closing(sqlite3.connect(path)) as old:
        assert old.execute("SELECT count(*) FROM pictures").fetchone() == (1,)


def test_a_spool_of_the_version_before_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with closing(sqlite3.connect(path)) as old, old:
        columns = "key BLOB, fingerprint TEXT, point INTEGER, data BLOB, packed INTEGER, context TEXT"
        old.execute(f"CREATE TABLE pictures (number INTEGER PRIMARY KEY AUTOINCREMENT, {columns})")
        old.execute("INSERT INTO pictures VALUES (1, x'07', ?, 8, x'00', 1, '{}')", ("f" * 64,))
        old.execute("PRAGMA user_version = 2")
    spool = Spool(path, 10)
    assert spool.newest() == Kept("f" * 64, 8, b"\0", True, {}, b"\7")
    spool.close()


def test_a_kept_picture_is_answered_and_counted_once(server: ServerProcess, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.db", 10)
    with Client(server.address, MODEL) as client:
        assert client.keep(spool, read_picture(PICTURES / "dingo.png"), {"frame": 1}) == []
        kept = spool.newest()
        assert kept is not None and len(kept.data) == 512 and kept.packed
        first, again = client.deliver(kept, top_k=2), client.deliver(kept, top_k=2)
        assert first.best.name == "dingo" and first.classes == again.classes
        other = Kept("0" * 64, kept.point, kept.data, kept.packed, {}, b"other")
        with pytest.raises(ModelMismatch):
            client.deliver(other)
        with pytest.raises(ProtocolError):
            client.deliver(Kept(kept.fingerprint, kept.point, b"short", kept.packed, {}, b"other"))
    spool.close()


@pytest.mark.parametrize(("parts", "planes", "picture"), [("planes", 1, 0), ("picture", 0, 1), ("both", 1, 1)])
def test_a_spool_keeps_planes_or_the_picture_or_both(
    server: ServerProcess, tmp_path: Path, parts: Parts, planes: bool, picture: bool
) -> None:
    spool = Spool(tmp_path / "s.db", 10, parts)
    with Client(server.address, MODEL, offline=True) as client:
        client.keep(spool, read_picture(PICTURES / "dingo.png"), {})
        kept = spool.newest()
        assert kept is not None and (bool(kept.data), kept.picture is not None) == (planes, picture)
        assert client.deliver(kept).best.name == "dingo"
    spool.close()


RED = tiny.picture("red")


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_what_was_kept_for_one_model_is_encoded_anew_for_the_next(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An edge that fetched its model starts in the dark; when the link comes another model is served."""
    monkeypatch.setenv("ARTOVEQ_CACHE", str(tmp_path / "cache"))
    nested, progressive = tiny.nested(tmp_path / "nested"), tiny.progressive(tmp_path / "progressive")
    address, first = f"127.0.0.1:{port}", nested.manifest.fingerprint
    with pytest.raises(ServerUnavailable), Client(address, offline=True):
        pass
    with serving(nested.folder, port=port), Client(address):
        pass
    spool = Spool(tmp_path / "s.db", 10)
    planes = Spool(tmp_path / "planes.db", 10, "planes")
    with Client(address, connect_timeout=1, offline=True) as client:
        assert client.encoder.manifest.fingerprint == first
        for one in (spool, planes):
            client.keep(one, RED, {})
        kept, alone = spool.newest(), planes.newest()
        assert kept is not None and alone is not None
        with pytest.raises(ServerUnavailable):
            client.deliver(kept)
        with pytest.raises(ServerUnavailable):
            client.predict(RED)
        with serving(progressive.folder, port=port):
            while True:
                with contextlib.suppress(ServerUnavailable):  # gRPC looks for the server again within two seconds
                    assert client.deliver(kept).best.name == "red"
                    break
            assert client.deliver(kept).best.name == "red"
            with pytest.raises(ModelMismatch):
                client.deliver(alone)
            assert client.predict(RED, budget=5).best.name == "red"
            assert client.encoder.manifest.fingerprint == progressive.manifest.fingerprint
    assert f"{first}" in caplog.text and progressive.manifest.fingerprint in caplog.text
    for one in (spool, planes):
        one.close()


@pytest.mark.slow
def test_a_stream_follows_the_model_that_is_served(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTOVEQ_CACHE", str(tmp_path / "cache"))
    nested, progressive = tiny.nested(tmp_path / "nested").folder, tiny.progressive(tmp_path / "progressive").folder
    address = f"127.0.0.1:{port}"
    with contextlib.ExitStack() as stack:
        with serving(nested, port=port):
            client = stack.enter_context(Client(address, connect_timeout=2))
            given = stack.enter_context(Client(address, nested, connect_timeout=2))
            assert client.predict(RED, budget=5).best.name == "red"
        stack.enter_context(serving(progressive, port=port))
        while True:
            with contextlib.suppress(ServerUnavailable):
                result = client.predict(RED, budget=5)
                break
        assert result.best.name == "red" and client.encoder.manifest.refinable
        with pytest.raises(ModelMismatch):  # a model that was given is not replaced
            given.predict(RED)


def test_a_picture_that_could_not_be_taken_out_is_not_delivered(tmp_path: Path) -> None:
    """Its key in the table is another one than in the index by which it is found."""
    path = tmp_path / "spool"
    with closing(Spool(path, 10)) as spool:
        spool.keep("0" * 64, 1, b"planes", True, {}, key=b"the key of a picture")
    data = path.read_bytes()
    assert data.count(b"the key of a picture") == 2
    path.write_bytes(data.replace(b"the key of a picture", b"the key of nothing..", 1))
    with pytest.raises(SpoolError, match=r"spool is damaged \(.+\); move it away, or name another file"):
        Spool(path, 10)
