"""The server half: decode, answer, refine. Batches across streams; gRPC, REST, metrics, a page."""

import os

# ONNX Runtime would report its use to its makers; it asks this when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
