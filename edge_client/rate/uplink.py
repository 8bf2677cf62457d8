"""How long messages have the link, from the times of two clocks that do not agree."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from statistics import median

SHORTEST_SAMPLE_S = 0.002
"""What arrives closer together than this may have come in one packet: the link is at least so fast."""
PACKET_TRAIN_S = 0.01
"""From one arrival to the next at least, where these two alone are to tell the capacity: each is off by some."""
PROBES, FIRST_PROBES, PROBE_S, PROBE_SHARE = 8, 4, 2.0, 0.02
"""Sync probes that are remembered (a clock drifts little meanwhile), that are sent at once, the time between others at
least, and the share of it that they may take."""


@dataclass(frozen=True)
class Sample:
    """`bits` took `seconds` on the link. back_to_back: they waited, so that no token bucket let them pass at once."""

    bits: float
    seconds: float
    back_to_back: bool = False

    @property
    def app_limited(self) -> bool:
        """Whether the capacity is at least this, rather than this."""
        return self.seconds < SHORTEST_SAMPLE_S

    @property
    def is_packet_train(self) -> bool:
        """Whether this tells the capacity alone."""
        return self.back_to_back and self.seconds > PACKET_TRAIN_S

    @property
    def capacity(self) -> float:
        """Bits per second."""
        return self.bits / max(self.seconds, SHORTEST_SAMPLE_S)

    def __add__(self, other: Sample) -> Sample:
        """Both, but a packet train alone where there is one: what is first may find a token bucket full."""
        if self.is_packet_train != other.is_packet_train:
            return self if self.is_packet_train else other
        return Sample(self.bits + other.bits, self.seconds + other.seconds, self.is_packet_train)


@dataclass
class Uplink:
    """Tells how long each message had the link, and by that how far the clocks are apart.

    A sync probe of P bits leaves an idle edge at e and arrives at m; the next message, of B bits, leaves at e' and
    arrives at m'. Both clocks run alike, so (m' − e') − (m − e) is how much longer the message was under way, and on
    an idle link that is (B − P) / C: so it had the link for this · B / (B − P), and no longer than m' − m. Now it
    is known how long the probe took, and by that how far the clocks are apart.
    With that known, any message has the link from when it would arrive if it took no time, or
    from when the one before it had arrived, to when it arrives itself. All times in seconds.
    """

    clock_offsets: deque[float] = field(default_factory=lambda: deque(maxlen=PROBES))
    """The server's clock less ours, and the way. Their median counts: a probe is held up now and then."""
    sync_probe: tuple[float, float, float] | None = None
    """Of a probe that nothing has followed yet: when it left and arrived, and its bits."""
    probe_took: float = 0.0
    """Seconds that the newest probe had the link, as far as is known."""
    probed_at: float = -math.inf
    newest: float = -math.inf
    """When the newest message arrived, on the server's clock."""

    def synced(self, left: float, arrived: float, bits: float) -> None:
        """A sync probe of so many bits has arrived."""
        self.sync_probe = (left, arrived, bits)
        self.probed_at, self.newest = left, arrived

    def sync_due(self, now: float) -> bool:
        """Often at first, then from time to time, but never for more than a small share of it."""
        return (
            len(self.clock_offsets) < FIRST_PROBES
            or now > self.probed_at + max(PROBE_S, self.probe_took / PROBE_SHARE)
        )  # fmt: skip

    def arrived(self, left: float, arrived: float, bits: float) -> Sample | None:
        """The next message; None where nothing is known of the clocks."""
        before, self.newest = self.newest, arrived
        probe, self.sync_probe = self.sync_probe, None
        if probe is not None:
            probe_left, probe_arrived, probe_bits = probe
            seconds, longer = arrived - probe_arrived, (arrived - left) - (probe_arrived - probe_left)
            if bits > probe_bits:
                seconds = min(seconds, max(0.0, longer) * bits / (bits - probe_bits))
            self.probe_took = seconds * probe_bits / bits
            self.clock_offsets.append(probe_arrived - probe_left - self.probe_took)
        if not self.clock_offsets:
            return None
        offset = median(self.clock_offsets)
        if arrived - left < offset:  # nothing takes less than no time
            self.clock_offsets = deque((min(one, arrived - left) for one in self.clock_offsets), PROBES)
            offset = median(self.clock_offsets)
        left_by_theirs = left + offset
        return Sample(bits, arrived - max(before, left_by_theirs), back_to_back=before > left_by_theirs)
