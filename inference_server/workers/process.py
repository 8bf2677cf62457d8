"""What all processes behind a supervisor begin with."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

VISIBLE = "CUDA_VISIBLE_DEVICES"


def begin(set_up: Callable[[], None]) -> None:
    """The supervisor alone says when they end: signals for all of a group or a unit would take the decoder first.

    set_up: of the log.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdout = sys.stderr  # what is served is said once, by the supervisor
    set_up()


def of_device(number: int) -> None:
    """Shows CUDA one device; the first process sees all, and counts them."""
    if number:
        seen = os.environ.get(VISIBLE, "")
        os.environ[VISIBLE] = seen.split(",")[number] if seen else str(number)
