"""What is to be done about folders of models that come, change and go; decided from what is seen of them, and when.

known, actions = decide(known, found, now)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

SETTLED_S = 2.0
"""A folder that has been as it is for so long is probably whole; or its copying has come to a halt."""
LEFT_S = 10.0
"""One that has been for so long is left as it is."""
GONE = b""
"""The state of a folder that is not there."""


@dataclass(frozen=True)
class Known:
    """What a folder is like, since when, and what has been done about that."""

    state: bytes
    since: float
    taken: bool = False
    told: bool = False


@dataclass(frozen=True)
class Take:
    """What the folder holds now is to be served, if it is whole."""

    folder: str


@dataclass(frozen=True)
class Tell:
    """If it was not to be served, it is time to say so: nobody is copying it."""

    folder: str


@dataclass(frozen=True)
class Drop:
    """What the folder held is to be served no longer."""

    folder: str


Action = Take | Tell | Drop


def decide(known: Mapping[str, Known], found: Mapping[str, bytes], now: float) -> tuple[dict[str, Known], list[Action]]:
    """found: the state of each folder that is there. Gives what is known then, and what is to be done, each thing once.

    A folder that changes is left alone until it has settled. Drops come last, so that a folder may get another name.
    """
    after: dict[str, Known] = {}
    actions: list[Action] = []
    drops: list[Action] = []
    for folder in sorted({*known, *found}):
        state, before = found.get(folder, GONE), known.get(folder)
        if before is None or before.state != state:
            after[folder] = Known(state, now)
            continue
        after[folder] = before
        if state == GONE:
            if now >= before.since + SETTLED_S:
                del after[folder]
                drops.append(Drop(folder))
        elif not before.taken and now >= before.since + SETTLED_S:
            after[folder] = replace(before, taken=True)
            actions.append(Take(folder))
        elif before.taken and not before.told and now >= before.since + LEFT_S:
            after[folder] = replace(before, told=True)
            actions.append(Tell(folder))
    return after, actions + drops
