from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.inference_server.conftest import png
from tests.inference_server.serving import Running
from wire.artifact import Artifact

ASKS = Path(__file__).with_name("tritonclient_asks.py")


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_tritons_clients_are_answered(server: Running, progressive: Artifact) -> None:
    manifest, point = progressive.manifest, 2
    command = [sys.executable, ASKS, server.address, server.url.removeprefix("http://"), manifest.name, str(point)]
    heard = json.loads(subprocess.run(command, input=png("red"), stdout=subprocess.PIPE, check=True).stdout)
    for of in heard.values():
        assert of["live"] and of["versions"] == [manifest.fingerprint] and of["outputs"] == ["output", "answer"]
        assert "999" in of["refused"]
        best = [one["classes"][0] for one in of["answers"]]
        assert [row[one["index"]] for row, one in zip(of["output"], best, strict=True)] == np.max(
            of["output"], 1
        ).tolist()
    assert np.allclose(heard["grpc"]["output"], heard["http"]["output"], atol=1e-5)
