"""Asks a server by Triton's own clients: python tritonclient_asks.py GRPC HTTP MODEL POINT < picture; prints JSON.

A process of its own: both sides' messages have the protocol's names, which one process can have but once.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.http


def asked(library: Any, address: str, model: str, point: int, picture: bytes) -> dict[str, Any]:
    """What one of the clients hears."""
    client = library.InferenceServerClient(address)
    metadata = client.get_model_metadata(model)
    if not isinstance(metadata, dict):
        metadata = {"versions": list(metadata.versions), "outputs": [{"name": one.name} for one in metadata.outputs]}
    given = library.InferInput("picture", [2], "BYTES")
    given.set_data_from_numpy(np.array([picture, picture], np.object_))
    result = client.infer(model, [given], parameters={"point": point})
    try:
        client.infer(model, [given], parameters={"point": 999})
        refused = ""
    except tritonclient.grpc.InferenceServerException as error:
        refused = error.message()
    return {
        "live": client.is_server_live() and client.is_server_ready() and client.is_model_ready(model),
        "versions": metadata["versions"],
        "outputs": [one["name"] for one in metadata["outputs"]],
        "output": result.as_numpy("output").tolist(),
        "answers": [json.loads(one) for one in result.as_numpy("answer")],
        "refused": refused,
    }


if __name__ == "__main__":
    grpc_address, http_address, name, number = sys.argv[1:]
    picture = sys.stdin.buffer.read()
    clients = {"grpc": (tritonclient.grpc, grpc_address), "http": (tritonclient.http, http_address)}
    print(json.dumps({key: asked(*of, name, int(number), picture) for key, of in clients.items()}))
