"""python -m benchmarks.service.peers.with_fastapi MODEL POINT PORT: a request, a picture, a thread of the pool."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import Body, FastAPI

from benchmarks.service.peers.answering import Answerer


def main(model: str, point: str, port: str) -> None:
    app, answerer = FastAPI(), Answerer(Path(model), int(point))

    @app.post("/predict")
    def predict(asked: dict[str, Any] = Body()) -> dict[str, Any]:  # noqa: B008 (FastAPI's way)
        return answerer.answers([answerer.indices(asked)])[0]

    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="error")


if __name__ == "__main__":
    main(*sys.argv[1:])
