"""Six links. Capacities are shares of what carries the highest level just within the deadline.

So a trace is as hard at a deadline of 30 ms as at one of 500 ms: it stands for a faster link there.
"""

from __future__ import annotations

import math
import random

from artoveq.demo.link import Trace

SECONDS = 60.0
STEP_S = 0.1
Steps = list[tuple[float, float]]


def constant() -> Steps:
    """Always the same."""
    return [(0.0, 0.7)]


def step() -> Steps:
    """Down to a quarter after twenty seconds, and up again after forty."""
    return [(0.0, 1.8), (20.0, 0.45), (40.0, 1.8)]


def markov() -> Steps:
    """One of four capacities, for four seconds on average; then the next higher or lower one."""
    rng, rates, at, now, steps = random.Random(3), (0.45, 0.75, 1.3, 3.0), 2, 0.0, []
    while now < SECONDS:
        steps.append((now, rates[at]))
        now += rng.expovariate(1 / 4)
        at = min(max(at + rng.choice((-1, 1)), 0), len(rates) - 1)
    return steps


def lte() -> Steps:
    """As a moving phone's: log-normal, correlated over three seconds, a new value every tenth of a second."""
    rng, keep, level, steps = random.Random(5), math.exp(-STEP_S / 3), 0.0, []
    for i in range(round(SECONDS / STEP_S)):
        level = keep * level + math.sqrt(1 - keep**2) * rng.gauss(0, 0.5)
        steps.append((i * STEP_S, max(0.2, 1.1 * math.exp(level))))
    return steps


def tunnel() -> Steps:
    """Next to nothing for eight seconds."""
    return [(0.0, 1.5), (25.0, 0.02), (33.0, 1.5)]


def flapping() -> Steps:
    """Up for five seconds, down for five seconds, over and over."""
    return [(5.0 * i, 0.45 if i % 2 else 1.8) for i in range(round(SECONDS / 5))]


ALL = {make.__name__: make for make in (constant, step, markov, lte, tunnel, flapping)}


def trace(name: str, nominal: float) -> Trace:
    """A trace by its name. nominal: bits per second that 1.0 stands for."""
    return Trace([(at, share * nominal) for at, share in ALL[name]()])


def varies_twofold(name: str) -> bool:
    """Whether its highest capacity is more than twice its lowest."""
    shares = [share for _, share in ALL[name]()]
    return max(shares) > 2 * min(shares)
