import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_client.rate import RISE_S, TRAIN_S, Forecast, Sample, Uplink, Way, choose, choose_steps

TOP1 = (0.77, 0.80, 0.825, 0.833, 0.8345, 0.8346, 0.8347, 0.8348)
WAYS = [Way(512.0 * level + 240, TOP1[level - 1], level=level) for level in range(1, 9)]
rates = st.floats(1e3, 1e8)
budgets = st.floats(1e-3, 10)


def steady(capacity: float, spent: float = 0.0, pictures: int = 50) -> Forecast:
    forecast = Forecast()
    for i in range(pictures):
        forecast.learn(Sample(capacity * 0.05, 0.05), spent, forecast.capacity, 0.1 * i)
    return forecast


def level(forecast: Forecast, budget: float) -> int:
    return choose(WAYS, forecast, budget, 0.0).level


@given(rates, budgets)
def test_on_a_steady_link_what_is_chosen_arrives_in_time(capacity: float, budget: float) -> None:
    chosen = choose(WAYS, steady(capacity), budget, 0.0)
    assert chosen.bits / capacity <= budget * (1 + 1e-6) or chosen.level == 1


@given(rates, budgets, st.floats(1, 10))
def test_more_capacity_or_time_is_never_worth_less(capacity: float, budget: float, more: float) -> None:
    def worth(forecast: Forecast, budget: float) -> float:
        way = choose(WAYS, forecast, budget, 0.0)
        return way.top1 * forecast.room(budget, 0.0).chance(way.bits)

    now = worth(steady(capacity), budget) - 1e-9
    assert now <= worth(steady(capacity * more), budget)
    assert now <= worth(steady(capacity), budget * more)
    assert worth(steady(capacity, spent=budget / 2), budget) <= now + 2e-9


@given(st.lists(st.tuples(st.floats(0, 0.2), st.floats(1e3, 1e6)), min_size=1, max_size=150), budgets)
def test_chances_are_probabilities_and_fall_with_the_bits(pictures: list[tuple[float, float]], budget: float) -> None:
    forecast = Forecast()
    for i, (spent, rate) in enumerate(pictures):
        forecast.learn(Sample(rate * 0.05, 0.05), spent, forecast.capacity, 0.1 * i)
    chances = [forecast.room(budget, 0.0).chance(way.bits) for way in WAYS]
    assert all(0 <= chance <= 1 for chance in chances)
    assert chances == sorted(chances, reverse=True)


def test_unknown_capacity_begins_with_the_fewest_bits() -> None:
    assert level(Forecast(), 1.0) == 1
    assert choose_steps(WAYS, Forecast(), 1.0, 0.0, 0.0) == [1]


def test_a_link_that_often_drops_is_not_trusted_with_what_it_carries_otherwise() -> None:
    """Level 6 fits nine times in ten, level 3 always: 0.9 · 0.8346 is less than 0.825."""
    forecast = steady(100_000)
    for i in range(100):
        forecast.learn(Sample(50.0 * (400 if i % 10 == 9 else 1000), 0.5), 0.0, forecast.capacity, 10 + i)
    assert forecast.capacity == pytest.approx(40_000, rel=0.01)
    forecast.capacity = 100_000
    assert level(steady(100_000), 0.045) == 6  # 7 and 8 add less than the risk of a link that was seen 50 times
    assert level(forecast, 0.045) == 3


def test_a_link_that_drops_when_it_is_fast_is_trusted_when_it_is_slow() -> None:
    forecast = Forecast()
    for i in range(100):
        capacity = 20_000 if i % 20 >= 10 else 100_000  # ten pictures fast, ten slow
        forecast.learn(Sample(capacity * 0.05, 0.05), 0.0, forecast.capacity, 10.0 * i)
    forecast.capacity = 20_000
    slow = forecast.room(1.0, 0.0).chance(19_000)
    forecast.capacity = 100_000
    assert slow > 0.95 > 0.92 > forecast.room(1.0, 0.0).chance(95_000)


def test_the_top_levels_are_left_where_they_are_not_worth_the_risk() -> None:
    """0.0001 of accuracy more is not worth what is unknown about a link that was seen ten times."""
    assert level(steady(100_000, pictures=10), 0.06) < 8


def test_the_estimate_comes_down_at_once_and_rises_within_its_half_life() -> None:
    forecast = steady(100_000)
    assert forecast.capacity == pytest.approx(100_000)
    forecast.learn(Sample(500, 0.05), 0.0, forecast.capacity, 10.0)
    assert forecast.capacity == pytest.approx(10_000)
    forecast.learn(Sample(5000, 0.05), 0.0, forecast.capacity, 10.0 + RISE_S)
    assert forecast.capacity == pytest.approx(55_000)


def test_an_app_limited_sample_never_lowers_the_estimate() -> None:
    forecast = steady(500_000)
    forecast.learn(Sample(100, 0.001), 0.0, forecast.capacity, 10.0)
    assert forecast.capacity == pytest.approx(500_000)
    forecast.learn(Sample(2000, 0.001), 0.0, forecast.capacity, 20.0)
    assert forecast.capacity == pytest.approx(1_000_000, rel=0.01)
    forecast.learn(Sample(20_000, 0.0), 0.0, forecast.capacity, 30.0)
    assert forecast.capacity == pytest.approx(2_000_000, rel=0.01)  # and raises it twofold at most


def test_a_file_is_sent_where_it_is_the_better_use_of_the_time() -> None:
    slow_encoder = [Way(way.bits, way.top1, 0.2, level=way.level) for way in WAYS]
    file = Way(8000, 0.7, 0.001, point=(64, 50))
    assert choose([*slow_encoder, file], steady(1e6), 0.1, 0.0) == file
    assert choose([*WAYS, file], steady(1e6), 0.1, 0.0).level > 1


def test_the_first_progressive_message_is_the_safe_one() -> None:
    forecast = steady(100_000)
    assert choose_steps(WAYS, forecast, 1.0, 0.0, 800) == [8]
    for i in range(100):
        forecast.learn(Sample(50.0 * (200 if i % 20 == 19 else 1000), 0.5), 0.0, forecast.capacity, 10 + i)
    forecast.capacity = 100_000
    steps = choose_steps(WAYS, forecast, 0.045, 0.0, 100)
    assert len(steps) == 2
    assert steps[0] <= 2 < steps[1]


def test_only_levels_that_the_model_has_are_chosen() -> None:
    two = [Way(1000, 0.6, level=2), Way(2000, 0.8, level=5)]
    assert [choose(two, steady(c), 1.0, 0.0).level for c in (900, 1500, 2500, 1e9)] == [2, 2, 5, 5]


def test_an_uplink_tells_time_on_the_link_from_time_before_it() -> None:
    """The server's clock is 1,000 s ahead, the way takes 10 ms, the link carries 10,000 bits a second."""
    link, alone, train = Uplink(), Sample(1000, pytest.approx(0.1)), Sample(1000, pytest.approx(0.1), behind=True)
    assert link.arrived(0.0, 1000.0, 100) is None
    for at in (0.0, 0.5, 1.0):
        assert link.mark_due(at)
        link.marked(at, 1000.060 + at, 500)
        assert link.arrived(at, 1000.160 + at, 1000) == train
    assert link.arrived(1.05, 1001.260, 1000) == train  # it was there before the link was free
    assert link.arrived(1.5, 1001.610, 1000) == alone  # the link had waited for it
    link.marked(2.0, 1002.060, 500)
    assert link.arrived(2.4, 1002.510, 1000) == alone  # long after the mark
    link.marked(3.0, 1003.5, 500)  # a mark that was held up
    assert link.arrived(3.0, 1003.6, 1000) == train
    assert link.arrived(3.7, 1003.81, 1000) == alone
    link.marked(4.0, 1004.060, 500)
    link.arrived(4.2, 1004.21, 1000)
    assert link.arrived(4.7, 1004.81, 1000) == alone


def test_where_messages_come_one_behind_the_other_the_first_does_not_count() -> None:
    """10,000 bits a second, but a token bucket that lets 1,000 bits pass at once."""
    link = Uplink()
    link.marked(0.0, 1000.0, 500)
    assert link.arrived(1.0, 1001.0, 1000) is not None
    first, second, third = (
        link.arrived(2.0, 1002.0, 1000),
        link.arrived(2.0, 1002.1, 1000),
        link.arrived(2.05, 1002.2, 1000),
    )
    assert first and second and third
    assert (first + second + third).capacity == pytest.approx(10_000)
    assert (first + Sample(1000, 0.1)).capacity == pytest.approx(20_000)
    close = link.arrived(2.1, 1002.2 + TRAIN_S / 2, 1000)
    assert close and (first + close) == Sample(2000, pytest.approx(TRAIN_S / 2))  # that says little by itself


def test_what_has_arrived_of_a_picture_lowers_the_estimate_but_never_raises_it() -> None:
    forecast = steady(100_000)
    forecast.at_most(Sample(5000, 0.001))
    forecast.at_most(Sample(50_000, 0.1))
    assert forecast.capacity == pytest.approx(100_000)
    forecast.at_most(Sample(5000, 0.1))
    assert forecast.capacity == pytest.approx(50_000)


def test_a_message_cannot_take_less_than_no_time() -> None:
    """All marks are held up by 30 ms on the same link: by then a token bucket was empty, that is full for messages."""
    link = Uplink()
    for at in (0.0, 2.0, 4.0):
        link.marked(at, 1000.040 + at, 500)
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
    """With a mark of 600 bits at the beginning, and others whenever the link is idle."""
    link, now, free = Uplink(), 0.0, 600 / capacity
    link.marked(0.0, 500.01 + free, 600)
    for i, (pause, bits) in enumerate(messages):
        now += pause
        if i in marked and now > free:
            free = now + 600 / capacity
            link.marked(now, 500.01 + free, 600)
            now += pause
        free = max(free, now) + bits / capacity
        sample = link.arrived(now, 500.01 + free, bits)
        assert sample is not None
        assert sample.seconds == pytest.approx(bits / capacity, abs=1e-6)
