"""The loop of `artoveq watch`: the newest frame when the link is ready, one result for each that was taken."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, cast

from artoveq.watch.frames import Frame
from artoveq.watch.sinks import Sink
from edge_client import AsyncClient
from wire.exceptions import ServerError

LONGEST_PAUSE_S = 10.0
FIRST_PAUSE_S = 0.25


@dataclass(frozen=True)
class Options:
    """How frames are sent. report: the server's page is told; thumbnail: it is shown the frame, too."""

    budget: float
    level: int | None = None
    progressive: bool = False
    top_k: int = 1
    report: bool = False
    thumbnail: bool = False


async def watch(client: AsyncClient, frames: AsyncIterator[Frame], sinks: Sequence[Sink], options: Options) -> None:
    """Classifies frames until they end. While no server answers, each frame that was taken is reported as failed."""
    failures = 0
    async with aclosing(cast(Any, frames)):
        async for frame in frames:
            record: dict[str, Any] = {
                "frame": frame.number,
                "source": frame.name,
                "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
                "age_ms": round(1000 * frame.age, 1),
            }
            try:
                result = await client.predict(
                    frame.picture,
                    budget=options.budget,
                    level=options.level,
                    progressive=options.progressive,
                    top_k=options.top_k,
                )
            except ServerError as error:
                failures += 1
                _send(sinks, record | {"error": str(error)})
                # Jitter, so that a fleet does not come back all at once.
                await asyncio.sleep(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**failures) * random.uniform(0.5, 1))
                continue
            failures = 0
            _send(sinks, record | result.as_record())
            if options.report:
                await client.report(result, frame.picture, thumbnail=options.thumbnail)


def _send(sinks: Sequence[Sink], record: dict[str, Any]) -> None:
    for sink in sinks:
        sink.send(record)
