"""What servers behind one address tell each other: how many streams each has. It has no clock and no socket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SILENT_S = 5.0
"""A fellow that has said nothing new for so long counts no more."""
FORGOTTEN_S = 60.0
"""And after so long what it said last is taken away."""


def word_of(turn: int, streams: int) -> bytes:
    """What a server says. turn: another number each time, which is how others see that it lives."""
    return b"%d %d" % (turn, streams)


@dataclass(frozen=True)
class _Heard:
    word: bytes
    since: float
    lives: bool
    """Whether it has said anything else before: what is heard first may be the last word of one that died."""


class Fellows:
    """What is heard of others. Times are in seconds, of our own clock alone: nobody else's is compared with it."""

    def __init__(self) -> None:
        self._heard: dict[bytes, _Heard] = {}

    def hear(self, words: Mapping[bytes, bytes], now: float) -> tuple[list[int], list[bytes]]:
        """words: by name, what each has said last. Gives the streams of those who live, and whom to forget."""
        before, self._heard = self._heard, {}
        for name, word in words.items():
            one = before.get(name)
            self._heard[name] = one if one and one.word == word else _Heard(word, now, one is not None)
        counts = [_streams(one.word) for one in self._heard.values() if one.lives and now < one.since + SILENT_S]
        forgotten = [name for name, one in self._heard.items() if now >= one.since + FORGOTTEN_S]
        return [count for count in counts if count is not None], forgotten


def _streams(word: bytes) -> int | None:
    """None where it is nothing that a server of ours says."""
    _, _, count = word.partition(b" ")
    return int(count) if count.isdigit() else None
