"""What the command says on standard error: lines for people, or JSON for machines; and where traces go."""

from __future__ import annotations

import logging
import os

from wire.exceptions import SettingsError
from wire.tracing import export_traces

PACKAGES = ("artoveq", "edge_client", "inference_server")
OURS = ("levelname", "name", "message")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
TIME = "time"


def set_up() -> None:
    """ARTOVEQ_LOG is text or json, ARTOVEQ_LOG_LEVEL a level of Python's logging, INFO if left out.

    Raises:
        SettingsError: if one of them is something else, or a package is missing.
    """
    form, level = os.environ.get("ARTOVEQ_LOG", "text"), os.environ.get("ARTOVEQ_LOG_LEVEL", "INFO").upper()
    if form not in ("text", "json") or level not in LEVELS:
        raise SettingsError(f"ARTOVEQ_LOG is text or json, ARTOVEQ_LOG_LEVEL one of {', '.join(LEVELS)}.")
    handler = logging.StreamHandler()
    handler.setFormatter(_json() if form == "json" else logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    for package in PACKAGES:
        logging.getLogger(package).setLevel(level)
    if "OTEL_EXPORTER_OTLP_ENDPOINT" in os.environ and not export_traces(
        os.environ.get("OTEL_SERVICE_NAME", "artoveq")
    ):
        raise SettingsError("Traces need OpenTelemetry; run `pip install 'artoveq[otel]'`.")


def _json() -> logging.Formatter:
    try:
        from pythonjsonlogger.json import JsonFormatter
    except ImportError:
        raise SettingsError("JSON logs need python-json-logger; run `pip install 'artoveq[server]'`.") from None
    return JsonFormatter(OURS, rename_fields={"levelname": "level", "name": "logger"}, timestamp=TIME)
