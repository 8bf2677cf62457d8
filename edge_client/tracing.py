"""The edge's end of an OpenTelemetry trace, where the extra [otel] is installed."""

from __future__ import annotations

import time
from typing import Any

try:
    from opentelemetry import context, propagate, trace
except ImportError:
    trace = None  # type: ignore[assignment]


class StreamTrace:
    """The span of a stream, begun now."""

    def __init__(self, request_id: str) -> None:
        if trace is None:
            return
        self._tracer, named = trace.get_tracer("artoveq"), {"artoveq.request_id": request_id}
        self._span = self._tracer.start_span("artoveq.stream", context.Context(), attributes=named)
        self._context = trace.set_span_in_context(self._span, context.Context())

    def metadata(self) -> dict[str, str]:
        """What tells the server whose child its span is."""
        carrier: dict[str, str] = {}
        if trace is not None:
            propagate.inject(carrier, self._context)
        return carrier

    def record(self, name: str, seconds: float, **attributes: Any) -> None:
        """A child that ends now, and took so long."""
        if trace is not None:
            now, named = time.time_ns(), {f"artoveq.{key}": value for key, value in attributes.items()}
            began = now - round(seconds * 1e9)
            self._tracer.start_span(name, self._context, start_time=began, attributes=named).end(now)

    def end(self) -> None:
        """The stream is over."""
        if trace is not None:
            self._span.end()
