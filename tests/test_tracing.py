from __future__ import annotations

import pytest

import edge_client.tracing
import inference_server.tracing


def test_spans_of_both_sides_are_one_trace() -> None:
    from opentelemetry import trace
    from opentelemetry.sdk import trace as sdk
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    edge = edge_client.tracing.StreamTrace("abc")
    server = inference_server.tracing.StreamTrace("abc", edge.metadata())
    server.record("artoveq.picture", 0.25, request_id="abc-1", planes=3)
    server.end()
    edge.end()
    picture, inner, outer = exporter.get_finished_spans()
    names = [span.name for span in (picture, inner, outer)]
    assert names == ["artoveq.picture", "artoveq.serve_stream", "artoveq.stream"]
    assert len({span.context.trace_id for span in (picture, inner, outer)}) == 1
    assert picture.parent.span_id == inner.context.span_id and inner.parent.span_id == outer.context.span_id
    assert picture.end_time - picture.start_time == pytest.approx(250_000_000, abs=2)
    assert picture.attributes == {"artoveq.request_id": "abc-1", "artoveq.planes": 3}


def test_without_opentelemetry_nothing_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_client.tracing, "trace", None)
    monkeypatch.setattr(inference_server.tracing, "trace", None)
    edge = edge_client.tracing.StreamTrace("abc")
    assert edge.metadata() == {}
    server = inference_server.tracing.StreamTrace("abc", {})
    server.record("artoveq.picture", 0.1)
    server.end()
    edge.end()
