"""Why an answer was late: which part of its time took more than it usually does."""

from __future__ import annotations

from dataclasses import dataclass, fields

from wire.generated import remote_inference_pb2 as pb

WEIGHT = 0.1
"""Of the newest picture, in what is usual."""
CAUSES = ("edge", "link", "queue", "decode")
"""In the order in which they are counted."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a picture's time went to, in milliseconds: encoding on the edge, both ways over the link, the server's
    queue, decoding."""

    edge: float
    link: float
    queue: float
    decode: float


def parts_of(report: pb.Report) -> Parts | None:
    """Of a picture's time to its first answer; None where the edge does not tell."""
    known = report.encode_us + report.queue_us + report.decode_us
    if not known:
        return None
    link = max(0, report.latency_us - known)
    return Parts(report.encode_us / 1000, link / 1000, report.queue_us / 1000, report.decode_us / 1000)


def usual(before: Parts | None, parts: Parts) -> Parts:
    """What is usual, after a picture that was in time."""
    if before is None:
        return parts
    blend = {f.name: (1 - WEIGHT) * getattr(before, f.name) + WEIGHT * getattr(parts, f.name) for f in fields(Parts)}
    return Parts(**blend)


def cause_of(parts: Parts, before: Parts | None) -> str:
    """The part that took longest beyond what is usual; where nothing is known of that, the longest."""
    return max(CAUSES, key=lambda name: getattr(parts, name) - (getattr(before, name) if before else 0.0))
