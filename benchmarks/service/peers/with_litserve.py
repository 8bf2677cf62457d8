"""python -m benchmarks.service.peers.with_litserve MODEL POINT PORT: LitServe's batches, in a process of its own.

Annotations are values here, since LitServe reads that of `decode_request`.
"""

import sys
from pathlib import Path
from typing import Any

import litserve

from benchmarks.service.peers.answering import Answerer

BATCH = 32


class Api(litserve.LitAPI):
    """Its four verbs, and a batch as a list."""

    model: Path
    point: int

    def setup(self, device: str) -> None:
        self.answerer = Answerer(self.model, self.point)

    def decode_request(self, request: dict[str, Any]) -> Any:
        return self.answerer.indices(request)

    def batch(self, inputs: list[Any]) -> list[Any]:
        return inputs

    def predict(self, x: list[Any]) -> list[dict[str, Any]]:
        return self.answerer.answers(x)

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return output


def main(model: str, point: str, port: str) -> None:
    api = Api(max_batch_size=BATCH, batch_timeout=0.0)
    api.model, api.point = Path(model), int(point)
    server = litserve.LitServer(api, accelerator="cpu", timeout=False)
    server.run(host="127.0.0.1", port=int(port), log_level="error", generate_client_file=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
