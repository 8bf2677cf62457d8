from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import tracing
from wire.tracing import REQUEST_ID, Trace, new_request_id, request_id_of


@given(st.text())
def test_a_request_id_is_the_callers_or_a_new_one_and_never_breaks_a_log(sent: str) -> None:
    found = request_id_of({REQUEST_ID: sent})
    assert found.isascii() and found.isprintable() and 1 <= len(found) <= 64
    assert " " not in found
    if sent and all(c.isascii() and (c.isalnum() or c in "-._") for c in sent) and len(sent) <= 64:
        assert found == sent


def test_new_request_ids_differ() -> None:
    assert len({new_request_id() for _ in range(1000)}) == 1000


def test_spans_of_both_sides_are_one_trace() -> None:
    from opentelemetry import trace
    from opentelemetry.sdk import trace as sdk
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    edge = Trace("edge", "abc")
    server = Trace("server", "abc", edge.carrier())
    server.record("picture", 0.25, request_id="abc-1", planes=3)
    server.end()
    edge.end()
    picture, inner, outer = exporter.get_finished_spans()
    assert [span.name for span in (picture, inner, outer)] == ["picture", "server", "edge"]
    assert len({span.context.trace_id for span in (picture, inner, outer)}) == 1
    assert picture.parent.span_id == inner.context.span_id and inner.parent.span_id == outer.context.span_id
    assert picture.end_time - picture.start_time == pytest.approx(250_000_000, abs=2)
    assert picture.attributes == {"artoveq.request_id": "abc-1", "artoveq.planes": 3}


def test_without_opentelemetry_nothing_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "trace", None)
    span = Trace("edge", "abc")
    span.record("picture", 0.1)
    span.end()
    assert span.carrier() == {}
