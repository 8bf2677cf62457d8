from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_client.transport.emulated import CapacityTrace, Shaper
from wire.exceptions import DataError


def test_a_trace_is_stairs(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("# comment\n0,64\n2,8\n\n5,16\n")
    trace = CapacityTrace.read(tmp_path / "t.csv")
    assert [trace.capacity(t) for t in (0, 1.9, 2, 4.9, 5, 99)] == [64e3, 64e3, 8e3, 8e3, 16e3, 16e3]


@pytest.mark.parametrize("rows", ["", "0,0\n", "2,8\n1,8\n", "0\n", "a,b\n"])
def test_bad_traces(tmp_path: Path, rows: str) -> None:
    (tmp_path / "t.csv").write_text(rows)
    with pytest.raises(DataError):
        CapacityTrace.read(tmp_path / "t.csv")


rates = st.floats(1e3, 1e6)
TRACES = st.lists(rates, min_size=1, max_size=6).map(
    lambda rs: CapacityTrace([(0.5 * i, rate) for i, rate in enumerate(rs)])
)
PACKETS = st.lists(st.tuples(st.floats(0, 0.5), st.floats(100, 12_000)), min_size=1, max_size=30)


@given(TRACES, PACKETS, st.sampled_from([0.0, 5_000.0]), st.sampled_from([0.0, 0.02]), st.sampled_from([0.0, 0.3]))
def test_a_link_keeps_the_order_and_never_carries_more_than_its_trace(
    trace: CapacityTrace, packets: list[tuple[float, float]], burst: float, delay: float, loss: float
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
    shaper = Shaper(CapacityTrace([(0, 10_000), (10, 1_000)]), delay=0.05)
    assert shaper.arrives(1.0, 1000) == pytest.approx(1.15)
    assert shaper.arrives(1.0, 1000) == pytest.approx(1.25)  # behind the first
    assert shaper.arrives(9.95, 1000) == pytest.approx(10.0 + 0.5 + 0.05)  # half of it at each rate


def test_a_bucket_lets_a_burst_pass_at_once_and_then_the_rate() -> None:
    shaper = Shaper(CapacityTrace([(0, 10_000)]), burst=2000)
    assert [shaper.arrives(5.0, 1000) for _ in range(4)] == pytest.approx([5.0, 5.0, 5.1, 5.2])


def test_a_lost_packet_delays_what_is_behind_it() -> None:
    shaper = Shaper(CapacityTrace([(0, 1e9)]), delay=0.01, loss=0.2)
    delays = [shaper.arrives(i, 1000) - i for i in range(1000)]
    lost = sum(delay > 0.04 for delay in delays)
    assert 150 < lost < 250
    assert min(delays) == pytest.approx(0.01, abs=1e-4)
