"""When the process ends: on the first signal in order, on a second one at once, and in any case in time."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def first_signal(last: Callable[[], None] = lambda: None) -> asyncio.Event:
    """Set by the first signal. From then on another one ends the process, whatever it does. last: is done then."""
    signalled, loop = asyncio.Event(), asyncio.get_running_loop()

    def end_now(number: int, _: object) -> None:
        last()
        os._exit(128 + number)

    def hear() -> None:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, end_now)
        signalled.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, hear)
    return signalled


def end_within(seconds: float) -> None:
    """Ends the process after so long, if it has not ended by then: a thread that computes cannot be stopped."""

    def end() -> None:
        log.warning("What was begun was not done within %.1f s; the process ends without it.", seconds)
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def end() -> NoReturn:
    """Ends the process. Log and traces are sent; the interpreter is not taken apart, which is a second's work."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
