"""The emulated link: traces, shaping, and order."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_client.transport.emulated import UNLIMITED, CapacityTrace, Shaper
from wire.exceptions import DataError

steps = st.lists(st.tuples(st.floats(0.01, 50), st.floats(100, 1e6)), min_size=1, max_size=20).map(
    lambda drawn: [(sum(pause for pause, _ in drawn[:i]), rate) for i, (_, rate) in enumerate(drawn)]
)


@given(steps, st.floats(0, 1000), st.floats(1, 1e7))
def test_what_is_carried_is_what_passes(trace: list[tuple[float, float]], start: float, bits: float) -> None:
    link = CapacityTrace(trace)
    end = link.carried(start, bits)
    assert end > start and link.bits(start, end) == pytest.approx(bits, rel=1e-6)


@given(steps, st.lists(st.tuples(st.floats(0, 1), st.floats(1, 1e4)), min_size=1, max_size=30), st.integers(0, 9))
def test_packets_arrive_in_order_and_never_faster_than_the_link(
    trace: list[tuple[float, float]], packets: list[tuple[float, float]], seed: int
) -> None:
    link = CapacityTrace(trace)
    for shaper in (
        Shaper(link, delay=0.01, seed=seed),
        Shaper(link, delay=0.01, jitter=0.05, loss=0.2, seed=seed),
        Shaper(link, burst=2000, delay=0.01, seed=seed),
    ):
        now, sent, arrivals = 0.0, 0.0, []
        for pause, bits in packets:
            now += pause
            sent += bits
            arrivals.append(shaper.arrives(now, bits))
            assert arrivals[-1] >= now + 0.01
            assert sent <= 2000 * 1.001 + link.bits(0.0, arrivals[-1] - 0.01) * (1 + 1e-9)
        assert all(b >= a for a, b in pairwise(arrivals))


def test_a_burst_passes_at_once_and_then_the_bucket_is_empty() -> None:
    shaper = Shaper(CapacityTrace([(0.0, 1000.0)]), burst=500.0, delay=0.1)
    assert [shaper.arrives(0.0, 500.0), shaper.arrives(0.0, 500.0)] == pytest.approx([0.1, 0.6])
    assert shaper.arrives(10.0, 500.0) == pytest.approx(10.1)


def test_what_is_held_arrives_when_it_is_let_go() -> None:
    shaper = Shaper(UNLIMITED, delay=0.01)
    shaper.hold(5.0)
    assert shaper.arrives(1.0, 8.0) == 5.0
    assert shaper.arrives(6.0, 8.0) == pytest.approx(6.01)


def test_a_trace_is_read_from_a_file_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("# seconds,kbit\n0,40\n\n10,5.5\n")
    link = CapacityTrace.read(path)
    assert (link.capacity(0), link.capacity(9.9), link.capacity(10), link.capacity(99)) == (40e3, 40e3, 5.5e3, 5.5e3)
    for wrong in ("", "0,0\n", "5,1\n0,1\n", "0,fast\n", "0\n"):
        path.write_text(wrong)
        with pytest.raises(DataError, match=r"\.$"):
            CapacityTrace.read(path)
    with pytest.raises(DataError, match="cannot be read"):
        CapacityTrace.read(tmp_path / "gone.csv")
