"""Request ids, which always cross the wire, and OpenTelemetry traces, which do where it is installed.

A stream has one id and is one trace; picture 7 of it has the id `ID-7`, on both sides. So neither costs a
byte for a picture.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from typing import Any

try:
    from opentelemetry import context, propagate, trace
except ImportError:  # the extra [otel] is not installed
    trace = None  # type: ignore[assignment]

REQUEST_ID = "x-request-id"
_ALLOWED = re.compile(r"[\w.\-]{1,64}", re.ASCII)


def new_request_id() -> str:
    """Sixteen hexadecimal digits."""
    return secrets.token_hex(8)


def request_id_of(metadata: Mapping[str, str]) -> str:
    """The caller's, where it is one that a log can hold; else a new one."""
    sent = metadata.get(REQUEST_ID, "")
    return sent if _ALLOWED.fullmatch(sent) else new_request_id()


class Trace:
    """The span of a stream or call, begun now; spans of pictures are its children.

    metadata: of the caller, whose span is then the parent.
    """

    def __init__(self, name: str, request_id: str, metadata: Mapping[str, str] | None = None) -> None:
        if trace is None:
            return
        self._tracer = trace.get_tracer("artoveq")
        parent = propagate.extract(metadata or {}, context.Context())
        self._span = self._tracer.start_span(name, parent, attributes={"artoveq.request_id": request_id})
        self._context = trace.set_span_in_context(self._span, context.Context())

    def carrier(self) -> dict[str, str]:
        """What tells the other side whose child its span is."""
        carrier: dict[str, str] = {}
        if trace is not None:
            propagate.inject(carrier, self._context)
        return carrier

    def record(self, name: str, seconds: float, **attributes: Any) -> None:
        """A child that ends now, and took so long."""
        if trace is None:
            return
        now = time.time_ns()
        named = {f"artoveq.{key}": value for key, value in attributes.items()}
        began = now - round(seconds * 1e9)
        self._tracer.start_span(name, self._context, start_time=began, attributes=named).end(now)

    def end(self) -> None:
        """The stream or call is over."""
        if trace is not None:
            self._span.end()


def export_traces(service: str) -> bool:
    """Sends traces to where the variables OTEL_EXPORTER_OTLP_… say; False where the extra is not installed."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        return False
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return True
