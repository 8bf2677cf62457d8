"""Six links, for three hundred pictures each.

Time is counted in pictures, and a capacity is the share of what carries the highest level just within the
deadline: so a trace is as hard at a deadline of 30 ms as at one of 500 ms, where it stands for a slower link.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from edge_client.transport.emulated import CapacityTrace

PICTURES = 300
Steps = Sequence[tuple[float, float]]


def constant() -> Steps:
    """Always the same."""
    return [(0, 0.7)]


def step() -> Steps:
    """Down to less than a third, and up again."""
    return [(0, 1.8), (100, 0.55), (200, 1.8)]


def markov() -> Steps:
    """One of four capacities, for twenty-five pictures on average; then the next higher or lower one."""
    rng, rates, at, now, steps = random.Random(3), (0.55, 0.75, 1.3, 3.0), 2, 0.0, []
    while now < PICTURES:
        steps.append((now, rates[at]))
        now += rng.expovariate(1 / 25)
        at = min(max(at + rng.choice((-1, 1)), 0), len(rates) - 1)
    return steps


def lte() -> Steps:
    """As a moving phone's: log-normal, correlated over twenty pictures, a new value for each."""
    rng, keep, level, steps = random.Random(5), math.exp(-1 / 20), 0.0, []
    for i in range(PICTURES):
        level = keep * level + math.sqrt(1 - keep**2) * rng.gauss(0, 0.5)
        steps.append((i, max(0.2, 1.1 * math.exp(level))))
    return steps


def tunnel() -> Steps:
    """Next to nothing for forty pictures, and little near its mouths."""
    return [(0, 1.5), (100, 0.6), (120, 0.02), (160, 0.6), (180, 1.5)]


def flapping() -> Steps:
    """Up for fifty pictures, down for fifty pictures, over and over."""
    return [(50 * i, 0.55 if i % 2 else 1.8) for i in range(PICTURES // 50)]


ALL = {make.__name__: make for make in (constant, step, markov, lte, tunnel, flapping)}


def trace(name: str, nominal: float, period: float) -> CapacityTrace:
    """A trace by its name. nominal: bits per second that 1.0 stands for; period: seconds from picture to picture."""
    return CapacityTrace([(at * period, share * nominal) for at, share in ALL[name]()])


def varies_twofold(name: str) -> bool:
    """Whether its highest capacity is more than twice its lowest."""
    shares = [share for _, share in ALL[name]()]
    return max(shares) > 2 * min(shares)
