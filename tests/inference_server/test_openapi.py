"""Requests made from the OpenAPI document, right ones and wrong ones: the server does what the document says."""

from __future__ import annotations

import sys

import schemathesis

sys.modules.setdefault("schemathesis.pytest", schemathesis.pytest)
