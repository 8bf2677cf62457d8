"""What the command says on standard error: lines for people, or JSON for machines; and where traces go."""

from __future__ import annotations

import logging
import os
from typing import Any

from wire.exceptions import SettingsError
from wire.shown import shown

PACKAGES = ("artoveq", "edge_client", "inference_server")
OURS = ("levelname", "name", "message")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, 0: 7}
"""syslog's, by the level from which they hold."""
TIME = "time"
MOST_OF_LINE = 4000
"""Characters."""


def set_up() -> None:
    """ARTOVEQ_LOG is text or json, ARTOVEQ_LOG_LEVEL a level of Python's logging, INFO if left out.

    Raises:
        SettingsError: if one of them is something else, or a package is missing.
    """
    form, level = os.environ.get("ARTOVEQ_LOG", "text"), os.environ.get("ARTOVEQ_LOG_LEVEL", "INFO").upper()
    if form not in ("text", "json") or level not in LEVELS:
        raise SettingsError(f"ARTOVEQ_LOG is text or json, ARTOVEQ_LOG_LEVEL one of {', '.join(LEVELS)}.")
    handler = logging.StreamHandler()
    formatter = _json() if form == "json" else lines()
    handler.setFormatter(_Prioritised(formatter) if _is_journal() else formatter)
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    for package in PACKAGES:
        logging.getLogger(package).setLevel(level)
    if "OTEL_EXPORTER_OTLP_ENDPOINT" in os.environ:
        _export_traces(os.environ.get("OTEL_SERVICE_NAME", "artoveq"))


class _Lines(logging.Formatter):
    """One line for a record, whatever names are in it; only a traceback takes more."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = shown(record.message, MOST_OF_LINE)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        return "\n".join(shown(line, MOST_OF_LINE) for line in super().formatException(ei).splitlines())


class _Prioritised(logging.Formatter):
    """What another formatter makes of a record, each line behind its priority, as sd-daemon(3) has it."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        priority = next(number for level, number in PRIORITIES.items() if record.levelno >= level)
        return "\n".join(f"<{priority}>{line}" for line in self._inner.format(record).splitlines())


def _is_journal() -> bool:
    """Whether standard error goes to systemd's journal, which says so in the environment."""
    stream = os.fstat(2)
    return os.environ.get("JOURNAL_STREAM") == f"{stream.st_dev}:{stream.st_ino}"


def lines() -> logging.Formatter:
    """Lines for people."""
    return _Lines("%(levelname)s %(name)s: %(message)s")


def _json() -> logging.Formatter:
    try:
        from pythonjsonlogger.json import JsonFormatter
    except ImportError:
        raise SettingsError("JSON logs need python-json-logger; run `pip install 'artoveq[server]'`.") from None
    return JsonFormatter(OURS, rename_fields={"levelname": "level", "name": "logger"}, timestamp=TIME)


def _export_traces(service: str) -> None:
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise SettingsError("Traces need OpenTelemetry; run `pip install 'artoveq[otel]'`.") from None
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
