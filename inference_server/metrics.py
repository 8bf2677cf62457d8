"""What the server counts, in Prometheus' conventions. Served at /metrics."""

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The environment's name of the folder in which several processes count together; it is read at the import."""

BATCH_SIZE = Histogram("artoveq_batch_size", "Pictures in a decoded batch.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256))
DECODE_SECONDS = Histogram("artoveq_decode_seconds", "Time to decode one batch.")
QUEUE_SECONDS = Histogram("artoveq_queue_seconds", "Time from the newest payload's arrival to its decoding.")
COALESCED = Counter("artoveq_coalesced", "Requests replaced by newer planes of the same picture while waiting.")
PICTURES = Counter(
    "artoveq_pictures", "Pictures that were answered, by the operating point of the last answer.", ["model", "point"]
)
FAILURES = Counter("artoveq_picture_failures", "Pictures that failed, by status code.", ["code"])
RECEIVED_BYTES = Counter("artoveq_received_payload_bytes", "Bytes of payload messages received.")
STREAMS = Gauge("artoveq_streams", "Open streams.", multiprocess_mode="livesum")
FIRST_ANSWER_SECONDS = Histogram(
    "artoveq_time_to_first_answer_seconds", "From a picture's first payload at the server to its first answer."
)
POINT_SELECTED = Counter(
    "artoveq_point_selected",
    "Pictures begun on streams, by the operating point that the edge chose.",
    ["model", "point"],
)
DEADLINE_MISSED = Counter("artoveq_deadline_missed", "Reported pictures whose first answer came after the budget.")
STORE_AWAY = Counter("artoveq_store_away", "Times that the store of answers did not answer, or not in time.")
REPORTED = Counter("artoveq_reported", "Pictures that edges reported, to compare with the missed deadlines.")


def exposition() -> bytes:
    """All of it as text, of all processes that count together."""
    if SHARED_FOLDER not in os.environ:
        return generate_latest()
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
