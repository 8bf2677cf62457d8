"""Which version of a model an edge gets: the current one, or, a stable share of the edges, the canary."""

from __future__ import annotations

import hashlib

from wire.exceptions import UsageError


class VersionInUse(UsageError):
    """What is asked of a version does not go together with what it is."""


class Rollout:
    """The versions of one name, by fingerprint, in the order in which they came; the first one is current.

    latest: each one that comes is current at once.
    """

    def __init__(self, name: str, first: str, *, latest: bool = False) -> None:
        self.name, self.versions, self._latest = name, [first], latest
        self.chosen = [first]
        """Those that have been current, the one that is last: what a rollback goes back through."""
        self.canary = ""
        """Empty: there is none."""
        self.canary_share = 0.0

    @property
    def current(self) -> str:
        """Of all edges that do not get the canary; empty where no version is left."""
        return self.chosen[-1] if self.chosen else ""

    def share(self, version: str) -> float:
        """Of the edges, how many get it."""
        if version == self.canary:
            return self.canary_share
        return 1 - self.canary_share if version == self.current else 0.0

    def of(self, edge: str) -> str:
        """The version for an edge, by what it is called."""
        return self.canary if self.canary and place(self.name, edge) < self.canary_share else self.current

    def add(self, version: str) -> None:
        """Another one, which no edge gets yet, unless edges get the latest."""
        self.versions.append(version)
        if self._latest:
            self.promote(version, 1.0)

    def promote(self, version: str, share: float) -> None:
        """For this share of the edges, 1: for all. The shares of a growing canary hold each other.

        Raises:
            VersionInUse: if it is current already, and shall be a canary.
        """
        if share >= 1:
            self._choose([*self.chosen, version])
            self.canary, self.canary_share = "", 0.0
        elif version == self.current:
            raise VersionInUse(f"This version of {self.name} is current: all edges have it; promote another one.")
        else:
            self.canary, self.canary_share = version, share

    def roll_back(self) -> None:
        """Ends the canary; where there is none, what was current before is so again.

        Raises:
            VersionInUse: if nothing was.
        """
        if self.canary:
            self.canary, self.canary_share = "", 0.0
        elif len(self.chosen) > 1:
            self.chosen.pop()
        else:
            raise VersionInUse(f"Nothing of {self.name} was current before, so there is nothing to go back to.")

    def remove(self, version: str) -> None:
        """No edge shall get it any more.

        Raises:
            VersionInUse: if edges do.
        """
        if version in (self.current, self.canary):
            raise VersionInUse(f"Edges get this version of {self.name}; promote another one, or roll it back, first.")
        self.withdraw(version)

    def withdraw(self, version: str) -> None:
        """It is there no longer, whoever gets it: those get what was current before, or else the newest one."""
        self.versions.remove(version)
        self._choose([one for one in self.chosen if one != version] or self.versions[-1:])
        if self.canary in (version, self.current):
            self.canary, self.canary_share = "", 0.0

    def restore(self, known: list[str], chosen: list[str], canary: str, share: float) -> None:
        """What was decided once, as far as those versions are there; those that were not known then have come since."""
        self._choose([one for one in chosen if one in self.versions] or self.versions[:1])
        if canary in self.versions and canary != self.current:
            self.canary, self.canary_share = canary, share
        for one in self.versions if self._latest else ():
            if one not in known:
                self.promote(one, 1.0)

    def _choose(self, chosen: list[str]) -> None:
        """Each current version once behind itself."""
        self.chosen = [one for before, one in zip(["", *chosen], chosen, strict=False) if one != before]


def place(name: str, edge: str) -> float:
    """Where an edge stands between 0 and 1: the same on every server, at any time."""
    return int.from_bytes(hashlib.sha256(f"{name}\0{edge}".encode()).digest()[:8], "big") / 2**64
