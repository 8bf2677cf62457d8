"""Server-sent events, as the HTML standard has them."""

from __future__ import annotations

import json
from typing import Any

MEDIA_TYPE = "text/event-stream"
RETRY = "retry: 1000\n\n"
"""First of a stream: a browser that was cut off comes back after so many milliseconds."""


def schema(*names: str) -> dict[str, Any]:
    """Of events with these names, for the OpenAPI document."""
    properties = {"id": {"type": "string"}, "event": {"enum": names}}
    data = {"type": "string", "contentMediaType": "application/json"}
    return {"type": "object", "properties": {**properties, "data": data}, "required": ["event", "data"]}


def event(number: int, name: str, value: Any) -> str:
    """One event."""
    return f"id: {number}\nevent: {name}\ndata: {json.dumps(value)}\n\n"
