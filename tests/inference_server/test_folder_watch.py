"""What is decided about folders of models, in virtual time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inference_server.folder_watch import LEFT_S, SETTLED_S, Action, Drop, Known, Take, Tell, decide


class Folders:
    """Looked at every half second."""

    def __init__(self, known: dict[str, Known] | None = None) -> None:
        self.now, self._known = 0.0, known or {}

    def hold(self, seconds: float, **found: bytes) -> list[Action]:
        """They are like this for so long."""
        actions: list[Action] = []
        for _ in range(int(seconds / 0.5)):
            self._known, more = decide(self._known, found, self.now)
            actions += more
            self.now += 0.5
        return actions


def test_what_is_being_copied_is_taken_when_it_is_whole() -> None:
    folders = Folders()
    for size in range(20):
        assert folders.hold(1, dogs=b"%d" % size) == []
    assert folders.hold(SETTLED_S + 0.5, dogs=b"whole") == [Take("dogs")]
    assert folders.hold(LEFT_S, dogs=b"whole") == [Tell("dogs")]
    assert folders.hold(60, dogs=b"whole") == [], "once"


def test_a_copy_that_halts_is_tried_and_not_told_of() -> None:
    folders = Folders()
    for size in range(3):
        assert folders.hold(LEFT_S - 1, dogs=b"%d" % size) == [Take("dogs")]


def test_what_changes_is_taken_again_and_what_goes_is_dropped() -> None:
    folders = Folders({"dogs": Known(b"1", 0.0, taken=True, told=True)})
    assert folders.hold(5, dogs=b"1") == [], "as it was when the server began"
    assert folders.hold(5, dogs=b"2") == [Take("dogs")]
    assert folders.hold(1) == []
    assert folders.hold(5, dogs=b"3") == [Take("dogs")], "put in place of the other one"
    assert folders.hold(5, cats=b"1") == [Take("cats"), Drop("dogs")], "so that a name is never without"
    assert folders.hold(5, cats=b"1") == []


@given(st.lists(st.tuples(st.sampled_from([b"", b"1", b"2"]), st.integers(1, 12)), max_size=20))
def test_after_a_while_what_is_served_is_what_is_there(plan: list[tuple[bytes, int]]) -> None:
    folders, served = Folders(), b""
    for state, halves in [*plan, (b"2", 12)]:
        actions = folders.hold(halves / 2, **({"dogs": state} if state else {}))
        for action in actions:
            served = served if isinstance(action, Tell) else state if isinstance(action, Take) else b""
        if halves / 2 > SETTLED_S + 0.5:
            assert served == state
