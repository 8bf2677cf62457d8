"""The time that messages had the link, from two clocks that do not agree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_client.rate import Sample, Uplink
from edge_client.rate.uplink import PACKET_TRAIN_S


def test_an_uplink_tells_time_on_the_link_from_time_before_it() -> None:
    """The server's clock is 1,000 s ahead, the way takes 10 ms, the link carries 10,000 bits a second."""
    link, alone, packet_train = (
        Uplink(),
        Sample(1000, pytest.approx(0.1)),
        Sample(1000, pytest.approx(0.1), back_to_back=True),
    )
    assert link.arrived(0.0, 1000.0, 100) is None
    for at in (0.0, 0.5, 1.0):
        assert link.sync_due(at)
        link.synced(at, 1000.060 + at, 500)
        assert link.arrived(at, 1000.160 + at, 1000) == packet_train
    assert link.arrived(1.05, 1001.260, 1000) == packet_train  # it was there before the link was free
    assert link.arrived(1.5, 1001.610, 1000) == alone  # the link had waited for it
    link.synced(2.0, 1002.060, 500)
    assert link.arrived(2.4, 1002.510, 1000) == alone  # long after the probe
    link.synced(3.0, 1003.5, 500)  # a sync probe that was held up
    assert link.arrived(3.0, 1003.6, 1000) == packet_train
    assert link.arrived(3.7, 1003.81, 1000) == alone
    link.synced(4.0, 1004.060, 500)
    link.arrived(4.2, 1004.21, 1000)
    assert link.arrived(4.7, 1004.81, 1000) == alone


def test_where_messages_come_one_behind_the_other_the_first_does_not_count() -> None:
    """10,000 bits a second, but a token bucket that lets 1,000 bits pass at once."""
    link = Uplink()
    link.synced(0.0, 1000.0, 500)
    assert link.arrived(1.0, 1001.0, 1000) is not None
    first, second, third = (
        link.arrived(2.0, 1002.0, 1000),
        link.arrived(2.0, 1002.1, 1000),
        link.arrived(2.05, 1002.2, 1000),
    )
    assert first and second and third
    assert (first + second + third).capacity == pytest.approx(10_000)
    assert (first + Sample(1000, 0.1)).capacity == pytest.approx(20_000)
    close = link.arrived(2.1, 1002.2 + PACKET_TRAIN_S / 2, 1000)
    assert close and (first + close) == Sample(2000, pytest.approx(PACKET_TRAIN_S / 2))  # that says little by itself


def test_a_message_cannot_take_less_than_no_time() -> None:
    """All sync probes are held up by 30 ms: by then a token bucket was empty, that is full for messages."""
    link = Uplink()
    for at in (0.0, 2.0, 4.0):
        link.synced(at, 1000.040 + at, 500)
        assert link.arrived(at + 0.1, 1000.110 + at, 1000) == Sample(1000, pytest.approx(0.0))
    assert link.arrived(4.1, 1004.210, 1000) == Sample(1000, pytest.approx(0.1))


@given(
    st.lists(st.tuples(st.floats(0, 0.3), st.floats(700, 5000)), min_size=1, max_size=40),
    st.floats(1e4, 1e5),
    st.sets(st.integers(1, 39)),
)
def test_what_an_uplink_measures_is_the_capacity(
    messages: list[tuple[float, float]], capacity: float, marked: set[int]
) -> None:
    """With a sync probe of 600 bits at the beginning, and others whenever the link is idle."""
    link, now, free = Uplink(), 0.0, 600 / capacity
    link.synced(0.0, 500.01 + free, 600)
    for i, (pause, bits) in enumerate(messages):
        now += pause
        if i in marked and now > free:
            free = now + 600 / capacity
            link.synced(now, 500.01 + free, 600)
            now += pause
        free = max(free, now) + bits / capacity
        sample = link.arrived(now, 500.01 + free, bits)
        assert sample is not None
        assert sample.seconds == pytest.approx(bits / capacity, abs=1e-6)
