import asyncio
import time
from pathlib import Path

import pytest

from artoveq.demo.link import Link, Trace
from wire.exceptions import DataError


def test_a_trace_is_stairs(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("# comment\n0,64\n2,8\n\n5,16\n")
    trace = Trace.read(tmp_path / "t.csv")
    assert [trace.capacity(t) for t in (0, 1.9, 2, 4.9, 5, 99)] == [64e3, 64e3, 8e3, 8e3, 16e3, 16e3]


@pytest.mark.parametrize("rows", ["", "0,0\n", "2,8\n1,8\n", "0\n", "a,b\n"])
def test_bad_traces(tmp_path: Path, rows: str) -> None:
    (tmp_path / "t.csv").write_text(rows)
    with pytest.raises(DataError):
        Trace.read(tmp_path / "t.csv")


def test_the_link_carries_what_the_trace_says_and_loses_nothing() -> None:
    async def run() -> None:
        got, done = bytearray(), asyncio.Event()

        async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(1000):
                got.extend(data)
            writer.close()
            done.set()

        target = await asyncio.start_server(sink, "127.0.0.1", 0)
        async with target, Link(Trace([(0, 80_000)]), target.sockets[0].getsockname()[1]) as link:
            _, writer = await asyncio.open_connection("127.0.0.1", link.port)
            began, data = time.monotonic(), bytes(range(250)) * 20
            writer.write(data)
            writer.write_eof()
            await asyncio.wait_for(done.wait(), 10)
            assert bytes(got) == data
            assert 0.45 <= time.monotonic() - began < 1.5  # 5,000 bytes at 10,000 a second
            writer.close()

    asyncio.run(run())
