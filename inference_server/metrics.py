"""What the server counts, in Prometheus' conventions. Served at /metrics."""

from prometheus_client import Counter, Gauge, Histogram

BATCH_SIZE = Histogram("artoveq_batch_size", "Pictures in a decoded batch.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256))
DECODE_SECONDS = Histogram("artoveq_decode_seconds", "Time to decode one batch.")
QUEUE_SECONDS = Histogram("artoveq_queue_seconds", "Time from the newest plane's arrival to its decoding.")
COALESCED = Counter("artoveq_coalesced", "Requests replaced by newer planes of the same picture while waiting.")
PICTURES = Counter("artoveq_pictures", "Pictures answered for good, by the level of the answer.", ["level"])
FAILURES = Counter("artoveq_picture_failures", "Pictures that failed, by status code.", ["code"])
RECEIVED_BYTES = Counter("artoveq_received_planes_bytes", "Bytes of plane messages received.")
STREAMS = Gauge("artoveq_streams", "Open streams.")
