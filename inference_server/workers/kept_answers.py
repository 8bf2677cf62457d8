"""What the workers of one server remember together: the supervisor's side, in memory."""

from __future__ import annotations

from dataclasses import dataclass

from inference_server.shares import Shares


@dataclass(frozen=True, slots=True)
class _Kept:
    value: str
    until: float


class KeptAnswers:
    """Values by caller and key, as hexadecimal digits, of `most` KiB in all, each counting as one at least; of the
    caller that has most the oldest go.

    Times are of any one monotonic clock, in seconds.
    """

    def __init__(self, most: int) -> None:
        self._kept: Shares[_Kept] = Shares(most)

    def claim(self, caller: str, key: str, value: str, seconds: float, now: float) -> str | None:
        """Puts a value where there is none; else what is there."""
        found = self._kept.get(caller, key)
        if found is not None and now < found.until:
            return found.value
        self.put(caller, key, value, seconds, now)
        return None

    def put(self, caller: str, key: str, value: str, seconds: float, now: float) -> None:
        """Puts a value, whatever is there."""
        self._kept.put(caller, key, _Kept(value, now + seconds), 1 + len(value) // DIGITS_OF_KIB)

    def release(self, caller: str, key: str, value: str) -> None:
        """Takes a value away, if it is still this one."""
        found = self._kept.get(caller, key)
        if found is not None and found.value == value:
            self._kept.pop(caller, key)


DIGITS_OF_KIB = 2 * 1024
