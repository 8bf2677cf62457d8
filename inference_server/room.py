"""Which models are unloaded so that another one finds room: those that were asked longest ago. It has no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wire.exceptions import ArtifactError, ServerOverloaded

IDLE_S = 2.0
"""A model that was asked so lately is in use: between two pictures of a camera nothing is loaded anew."""


class ModelTooLarge(ArtifactError):
    """A model that finds no room even alone."""


@dataclass(frozen=True)
class Held:
    """A model that is loaded: the memory that it takes, when it was asked last, and whether it works on something."""

    fingerprint: str
    bytes: int
    asked: float
    works: bool


def to_unload(held: Sequence[Held], wanted: int, most: int, now: float) -> list[str]:
    """The models to unload, until there are `wanted` bytes of `most`; times are in seconds, of any one clock.

    Raises:
        ServerOverloaded: if those in use leave no room; it says after how long some may be idle.
    """
    free, gone = most - sum(one.bytes for one in held), []
    for one in sorted(held, key=lambda one: one.asked):
        if free >= wanted:
            break
        if not one.works and now >= one.asked + IDLE_S:
            gone.append(one.fingerprint)
            free += one.bytes
    if free < wanted:
        raise ServerOverloaded(
            "The models in use leave no memory for this one; try again a little later.",
            max(0.1, min(one.asked + IDLE_S - now for one in held if one.fingerprint not in gone)),
        )
    return gone
