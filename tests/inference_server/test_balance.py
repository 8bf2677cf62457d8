"""Three servers in virtual time, whose streams a balancer leads somewhere: they spread, and then stay."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from inference_server.streams.balance import LONGEST_TURN_S, MOST, SETTLED_S, Balance

Balancer = Callable[[int, list[int]], int]
"""The server for an edge, from how many streams each has."""
TOLD_S = 1
"""So old is what a server knows of its fellows; so long an edge takes to move."""


def least(edge: int, counts: list[int]) -> int:
    return counts.index(min(counts))


def in_turn(edge: int, counts: list[int]) -> int:
    return random.randrange(len(counts))


def by_edge(edge: int, counts: list[int]) -> int:
    return 0


class Fleet:
    """Servers with so many streams each, which a second moves on."""

    def __init__(self, *streams: int) -> None:
        self.now = 0
        self._servers = [Balance() for _ in streams]
        self.edges = [(server, -1000) for server, count in enumerate(streams) for _ in range(count)]
        """Of each: where its stream is, and since when."""
        self.moves: list[tuple[int, int]] = []
        """When, and which edge."""

    @property
    def counts(self) -> list[int]:
        return [sum(at == server for at, _ in self.edges) for server in range(len(self._servers))]

    def add(self) -> None:
        """A server more, with no streams."""
        self._servers.append(Balance())

    def run(self, seconds: int, balancer: Balancer) -> None:
        told = self.counts
        for _ in range(seconds):
            self.now += TOLD_S
            moving: list[int] = []
            for server, balance in enumerate(self._servers):
                fellows = [count for other, count in enumerate(told) if other != server]
                mine = [edge for edge, (at, _) in enumerate(self.edges) if at == server]
                old = [edge for edge in mine if self.now - self.edges[edge][1] >= SETTLED_S]
                moving += old[: balance.streams_to_move(len(mine), fellows, len(old), self.now)]
            told = self.counts
            for edge in moving:
                self.edges[edge] = balancer(edge, self.counts), self.now
                self.moves.append((self.now, edge))


@pytest.mark.parametrize("balancer", [least, in_turn])
def test_streams_spread_over_servers_that_come_and_then_stay(balancer: Balancer) -> None:
    random.seed(1)
    fleet = Fleet(64)
    fleet.run(60, balancer)
    assert not fleet.moves  # alone
    fleet.add()
    fleet.add()
    fleet.run(30, balancer)
    assert max(fleet.counts) <= 1.2 * 64 / 3 + 1, fleet.counts
    moved = [edge for _, edge in fleet.moves]
    if balancer is least:
        assert len(set(moved)) == len(moved) <= 64 * 2 // 3, "an edge moves once, and no more edges than have to"
    fleet.run(300, balancer)
    quiet = len(fleet.moves)
    fleet.run(3600, balancer)
    assert len(fleet.moves) == quiet, "who is spread stays"


def test_two_full_servers_do_not_drown_the_third() -> None:
    fleet = Fleet(500, 500, 0)
    fleet.run(60, least)
    assert max(fleet.counts) <= 1.2 * 1000 / 3 and len(fleet.moves) <= 334, fleet.counts


def test_moves_are_bounded_in_rate() -> None:
    fleet = Fleet(3000, 0, 0)
    fleet.run(60, least)
    seconds = [at for at, _ in fleet.moves]
    assert max(seconds.count(at) for at in set(seconds)) == MOST
    assert min(b - a for a, b in zip(sorted(set(seconds)), sorted(set(seconds))[1:], strict=False)) >= 5


def test_a_balancer_that_leads_back_is_asked_ever_less_often() -> None:
    fleet = Fleet(60, 0, 0)
    fleet.run(3600, by_edge)
    assert 0 < len({at for at, _ in fleet.moves}) < 15
    fleet.run(int(2 * LONGEST_TURN_S), least)
    assert max(fleet.counts) <= 25, "as soon as it leads elsewhere, streams spread"


@pytest.mark.parametrize("counts", [(1, 0, 0), (2, 1, 1), (2, 2, 0), (10, 10, 10), (12, 10, 9), (120, 100, 90), (5, 5)])
def test_what_is_nearly_even_stays(counts: tuple[int, ...]) -> None:
    fleet = Fleet(*counts)
    fleet.run(600, least)
    assert not fleet.moves


def test_streams_that_are_young_or_cannot_move_stay() -> None:
    balance = Balance()
    assert balance.streams_to_move(30, [0], 0, 100.0) == 0
    assert balance.streams_to_move(30, [0], 3, 100.0) == 3  # as soon as there are some
    assert balance.streams_to_move(30, [], 30, 200.0) == 0
