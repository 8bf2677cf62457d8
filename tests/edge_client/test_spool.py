from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artoveq.processes import ServerProcess
from benchmarks.service.measure import disk_of
from edge_client import Client, Kept, Spool
from tests.conftest import MODEL, PICTURES
from wire.exceptions import ModelMismatch, ProtocolError, SpoolError
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


def test_it_survives_the_process(tmp_path: Path) -> None:
    first = Spool(tmp_path / "s.db", 10)
    put(first, 7)
    key = first.newest()
    del first  # as after kill -9: nothing is closed
    again = Spool(tmp_path / "s.db", 10)
    assert again.newest() == key and len(again) == 1
    again.close()


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
        with pytest.raises(ProtocolError, match="at most 64 bytes"):
            client.deliver(Kept(kept.fingerprint, kept.point, kept.data, kept.packed, {}, bytes(65)))
    spool.close()
