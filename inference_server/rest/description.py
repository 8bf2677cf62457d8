"""The OpenAPI document: what FastAPI makes of the routes, and what it does not know of them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from inference_server.rest.problems import MEDIA_TYPE

TAGS = [
    {"name": "model", "description": "What is served."},
    {"name": "operate", "description": "Health and metrics."},
    {"name": "predict", "description": "Answers about pictures."},
    {"name": "watch", "description": "The edges that are connected."},
]
TOKEN = {"type": "http", "scheme": "bearer", "description": "Where the server was started with tokens."}


class Api(FastAPI):
    """Refusals are of their own media type, and what wants a token says so."""

    def openapi(self) -> dict[str, Any]:
        """The document."""
        if self.openapi_schema is None:
            document = super().openapi()
            document["components"]["securitySchemes"] = {"token": TOKEN}
            document["components"]["schemas"]["Latent"]["properties"]["shape"]["items"] = {"type": "integer"}
            for operations in document["paths"].values():
                for operation in operations.values():
                    _complete(operation)
        assert self.openapi_schema is not None
        return self.openapi_schema


def _complete(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    for status, response in responses.items():
        if status >= "400" and "$ref" in str(response.get("content")) and "Problem" in str(response["content"]):
            response["content"] = {MEDIA_TYPE: response["content"]["application/json"]}
    operation["security"] = [{"token": []}, {}] if "401" in responses else []
