import asyncio
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artoveq.demo.link import Link, Shaper, Trace
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


rates = st.floats(1e3, 1e6)
TRACES = st.lists(rates, min_size=1, max_size=6).map(lambda rs: Trace([(0.5 * i, rate) for i, rate in enumerate(rs)]))
PACKETS = st.lists(st.tuples(st.floats(0, 0.5), st.floats(100, 12_000)), min_size=1, max_size=30)


@given(TRACES, PACKETS, st.sampled_from([0.0, 5_000.0]), st.sampled_from([0.0, 0.02]), st.sampled_from([0.0, 0.3]))
def test_a_link_keeps_the_order_and_never_carries_more_than_its_trace(
    trace: Trace, packets: list[tuple[float, float]], burst: float, delay: float, loss: float
) -> None:
    shaper, now, before, total = Shaper(trace, burst=burst, delay=delay, loss=loss), 0.0, 0.0, 0.0
    for pause, bits in packets:
        now += pause
        arrival = shaper.arrives(now, bits)
        total += bits
        assert arrival >= now + delay
        assert arrival >= before
        assert total <= trace.bits(0.0, arrival - delay) + burst + 1e-3
        before = arrival


def test_an_idle_link_takes_bits_over_capacity_and_its_delay() -> None:
    shaper = Shaper(Trace([(0, 10_000), (10, 1_000)]), delay=0.05)
    assert shaper.arrives(1.0, 1000) == pytest.approx(1.15)
    assert shaper.arrives(1.0, 1000) == pytest.approx(1.25)  # behind the first
    assert shaper.arrives(9.95, 1000) == pytest.approx(10.0 + 0.5 + 0.05)  # half of it at each rate


def test_a_bucket_lets_a_burst_pass_at_once_and_then_the_rate() -> None:
    shaper = Shaper(Trace([(0, 10_000)]), burst=2000)
    assert [shaper.arrives(5.0, 1000) for _ in range(4)] == pytest.approx([5.0, 5.0, 5.1, 5.2])


def test_a_lost_packet_delays_what_is_behind_it() -> None:
    shaper = Shaper(Trace([(0, 1e9)]), delay=0.01, loss=0.2)
    delays = [shaper.arrives(i, 1000) - i for i in range(1000)]
    lost = sum(delay > 0.04 for delay in delays)
    assert 150 < lost < 250
    assert min(delays) == pytest.approx(0.01, abs=1e-4)


def test_what_is_cut_off_arrives_when_the_link_is_healed_and_a_reset_is_noticed() -> None:
    async def run() -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(1000):
                writer.write(data)
            writer.close()

        target = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with target, Link(Trace([(0, 1e6)]), target.sockets[0].getsockname()[1], delay=0.02) as link:
            reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
            for seconds in (0.04, 0.3):
                began = time.monotonic()
                writer.write(b"there")
                assert await asyncio.wait_for(reader.read(100), 5) == b"there"
                assert seconds <= time.monotonic() - began < seconds + 0.5
                link.cut(0.3)
            await link.reset()
            assert await asyncio.wait_for(reader.read(100), 5) == b""
            writer.close()

    asyncio.run(run())
