"""What fleets of edges take of servers, memory, links and money: arithmetic on what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.markdown import number, table
from benchmarks.results import read_results
from inference_server.settings import Settings

EXAMPLES = ((1_000, 1.0), (10_000, 10.0), (100_000, 10.0), (1_000_000, 10.0), (1_000_000, 60.0))
"""Edges, and seconds between two pictures of each: the first assumption."""
BUSY = 0.5
"""Of what a server can do at most: the second assumption. Latencies at this load are measured (`throughput`)."""
CORE_MONTH = 30.0
"""Dollars for a core and its memory, rented: the third assumption."""
CONNECTIONS = int(Settings.model_fields["connections"].default)
MIB, MBIT = 1024.0, 1e6 / 8


@dataclass(frozen=True)
class Measured:
    """One server, as it was measured. pictures: a second, at most, on `cores`, on which edges and decoder ran, too.

    stream_kib: of memory. up, down: bytes on the wire for a picture that is alone on its way.
    """

    pictures: float
    cores: int
    stream_kib: float
    up: float
    down: float

    @classmethod
    def read(cls) -> Measured | None:
        """From the committed files; None where one of them is missing."""
        throughput, fleet, wire = (read_results("service", name) for name in ("throughput", "fleet", "wire"))
        if throughput is None or fleet is None or wire is None:
            return None
        alone: Mapping[str, Any] = next(row for row in wire["figures"]["rows"] if row["in_flight"] == 1)
        return cls(
            throughput["figures"]["served_pictures_a_second"],
            throughput["cores"],
            fleet["figures"]["kib_a_stream"],
            alone["up_bytes"] / alone["pictures"],
            alone["down_bytes"] / alone["pictures"],
        )


@dataclass(frozen=True)
class Needs:
    """Of a fleet. pictures: a second. memory_mib: of all streams. up, down: Mbit/s. words: of servers that the store
    gives out in a second, since each server reads all of them. dollars: a month."""

    pictures: float
    servers: int
    bound: str
    memory_mib: float
    up: float
    down: float
    words: int
    dollars: float


def needs(edges: int, period_s: float, one: Measured) -> Needs:
    """What `edges` take that send a picture each every `period_s`."""
    pictures = edges / period_s
    by_pictures, by_connections = pictures / (BUSY * one.pictures), edges / CONNECTIONS
    servers = math.ceil(max(by_pictures, by_connections))
    return Needs(
        pictures,
        servers,
        "pictures" if by_pictures > by_connections else "connections",
        edges * one.stream_kib / MIB,
        pictures * one.up / MBIT,
        pictures * one.down / MBIT,
        servers**2,
        servers * one.cores * CORE_MONTH,
    )


def scale_table() -> str:
    """What stands in docs/scale.md."""
    one = Measured.read()
    if one is None:
        return "`throughput`, `fleet` and `wire` of `benchmarks.service` were not run yet."
    rows = []
    for edges, period_s in EXAMPLES:
        found = needs(edges, period_s, one)
        rows.append(
            [
                f"{edges:,}, a picture every {period_s:g} s",
                number(float(round(found.pictures))),
                f"{found.servers:,}, by {found.bound}",
                f"{found.memory_mib:,.0f} MiB",
                f"{found.up:,.1f} and {found.down:,.1f} Mbit/s",
                f"{found.words:,}",
                f"{found.dollars:,.0f} $",
            ]
        )
    heads = (
        "edges",
        "pictures a second",
        "servers",
        "memory of streams",
        "up and down",
        "words of the store",
        "a month",
    )
    measured = (
        f"A server is {one.cores} cores, {one.pictures:,.0f} pictures a second at most, kept at {BUSY:g} of that, and "
        f"{CONNECTIONS:,} connections; a stream is {one.stream_kib:g} KiB, a picture {one.up:.0f} bytes up and "
        f"{one.down:.0f} down, for a payload of 64; a core is assumed to cost {CORE_MONTH:g} $ a month. "
        f"Its connections are the bound where an edge has a picture less often than every "
        f"{CONNECTIONS / (BUSY * one.pictures):.1f} s."
    )
    return f"{table(heads, rows)}\n\n{measured}"
