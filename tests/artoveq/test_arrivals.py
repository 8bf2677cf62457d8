"""Which files of a folder are read, and when: plans in virtual time."""

from __future__ import annotations

from artoveq.watch.arrivals import MOST_GONE, WRITING_S, Arrivals, File


def taken(arrivals: Arrivals, now: float = 0.0) -> list[str]:
    """All that can be read now, and is."""
    names = []
    while (file := arrivals.next(now)) is not None:
        names.append(file.name)
        arrivals.done(file)
    return names


def test_all_of_those_that_come_at_once_are_taken_in_their_order() -> None:
    arrivals = Arrivals({})
    names = [f"{number}.png" for number in (3, 1, 2, 8, 7, 5, 6, 4)]
    assert arrivals.scan(dict.fromkeys(names, "1"), 0.0) == []
    assert taken(arrivals) == names
    arrivals.scan(dict.fromkeys([*names, "new.png"], "1"), 0.1)
    assert taken(arrivals) == ["new.png"]


def test_what_was_dealt_with_before_is_left_until_another_picture_is_written_there() -> None:
    arrivals = Arrivals({"old.png": "1", "latest.png": "1"})
    arrivals.scan({"old.png": "1", "latest.png": "1"}, 0.0)
    assert taken(arrivals) == []
    arrivals.scan({"old.png": "1", "latest.png": "2"}, 0.1)
    assert taken(arrivals) == ["latest.png"]


def test_a_file_that_is_written_is_waited_for_and_one_that_stays_as_it_is_is_damaged() -> None:
    arrivals, now = Arrivals({}), 0.0
    for size in range(1, 5):  # slow, with pauses that are shorter than WRITING_S
        arrivals.scan({"slow.png": str(size), "whole.png": "1"}, now)
        file = arrivals.next(now)
        assert file == File("slow.png", str(size)) and not arrivals.unreadable(file, now)
        if size == 1:
            assert taken(arrivals, now) == ["whole.png"]  # others need not wait for it
        assert arrivals.next(now) is None
        now += WRITING_S - 0.1
    arrivals.scan({"slow.png": "5", "whole.png": "1"}, now)
    assert taken(arrivals, now) == ["slow.png"]
    arrivals.scan({"cut.png": "1"}, now)
    cut = File("cut.png", "1")
    assert arrivals.next(now) == cut and not arrivals.unreadable(cut, now)
    assert arrivals.next(now + WRITING_S - 0.01) is None
    assert arrivals.next(now + WRITING_S) == cut and arrivals.unreadable(cut, now + WRITING_S)
    assert arrivals.next(now + 10 * WRITING_S) is None
    arrivals.scan({"cut.png": "2"}, now + 10 * WRITING_S)  # and yet it was written further
    assert taken(arrivals, now + 10 * WRITING_S) == ["cut.png"]


def test_what_leaves_before_it_is_read_is_named() -> None:
    arrivals = Arrivals({})
    arrivals.scan({"a.png": "1", "b.png": "1"}, 0.0)
    assert taken(arrivals) == ["a.png", "b.png"]
    arrivals.scan({"a.png": "1", "c.png": "1"}, 0.1)
    assert arrivals.scan({}, 0.2) == ["c.png"] and arrivals.next(0.2) is None


def test_a_folder_that_is_away_for_a_while_is_not_answered_again() -> None:
    names = dict.fromkeys(map(str, range(MOST_GONE)), "1")
    arrivals = Arrivals(names)
    assert arrivals.scan({}, 0.0) == arrivals.forgotten({}) == []
    arrivals.scan(names, 1.0)
    assert taken(arrivals) == []
    arrivals.scan({"one more": "1"}, 2.0)
    assert taken(arrivals) == ["one more"]
    assert len(arrivals.forgotten({})) == MOST_GONE + 1  # memory is bounded
    arrivals.scan({"0": "1"}, 3.0)
    assert taken(arrivals) == ["0"]
