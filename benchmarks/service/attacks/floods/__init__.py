"""Attacks that go on: each takes a round's target, and works against it until the round's time is up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from benchmarks.service.attacks.floods import known, pictures, unknown
from benchmarks.service.attacks.target import Target

Flood = Callable[[Target], Awaitable[None]]
FLOODS: dict[str, Flood] = {
    flood.__name__: flood
    for flood in (
        unknown.unfinished,
        unknown.health_watch,
        unknown.silent,
        unknown.slow_header,
        unknown.slow_body,
        unknown.pings,
        unknown.resets,
        unknown.refused,
        unknown.unread,
        known.given_up,
        known.starvation,
        known.keys,
        known.reports,
        known.viewers,
        pictures.pixels,
        pictures.slow_pictures,
        pictures.bodies,
    )
}
