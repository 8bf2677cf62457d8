"""Files that the process may open, connections among them: some are kept for what is not a connection."""

from __future__ import annotations

import logging
import resource

log = logging.getLogger(__name__)

RESERVED = 128
"""Of listening sockets, models, tokens, threads' event loops."""


def raise_limit() -> None:
    """Lets the process open as many as the system allows it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def connections_of(asked: int) -> int:
    """How many connections each of the two ports may have open, of those that were asked for."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = asked if limit == resource.RLIM_INFINITY else max(1, (limit - RESERVED) // 2)
    if room < asked:
        log.warning("Each port takes %d connections, not %d: this process may open %d files.", room, asked, limit)
    return min(room, asked)
