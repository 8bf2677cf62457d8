"""An hour in coarse samples: what is still there when the page is opened anew, in a ring of fixed size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STEP_S = 10.0
KEPT = 360
"""Samples, which is an hour."""


def step_of(now: float) -> int:
    """The sample that a time of the monotonic clock belongs to."""
    return int(now / STEP_S)


class History:
    """Rows of numbers, one for each step in which something was; NaN stands for what is not known."""

    def __init__(self, *columns: str) -> None:
        self.columns = columns
        self._rows: NDArray[np.float32] = np.full((KEPT, len(columns)), np.nan, np.float32)
        self._steps = np.full(KEPT, -1, np.int64)

    def put(self, step: int, *row: float) -> None:
        """The row of a step, in place of an earlier one, and of the one an hour before."""
        self._rows[step % KEPT], self._steps[step % KEPT] = row, step

    def since(self, step: int, newest: int) -> list[list[float | None]]:
        """The rows from `step` on, as JSON values: the second of the monotonic clock where it begins, and its numbers.

        newest: the step that is now; what is older than an hour by that is left out.
        """
        wanted = (self._steps >= max(step, newest - KEPT + 1)).nonzero()[0]
        found = []
        for i in wanted[self._steps[wanted].argsort()]:
            row = self._rows[i].tolist()
            found.append([float(self._steps[i] * STEP_S), *(None if x != x else float(f"{x:.4g}") for x in row)])
        return found
