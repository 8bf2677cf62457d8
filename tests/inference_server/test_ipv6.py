"""Both ports over IPv6, by themselves and beside IPv4."""

from __future__ import annotations

import time

import httpx2
import pytest

from artoveq import Client, OneShot
from inference_server.page.view import Overview
from tests import tiny
from tests.inference_server.serving import serving
from wire.artifact import Artifact


@pytest.mark.parametrize(
    ("host", "reached"),
    [("::1", ["[::1]"]), ("[::1]", ["[::1]"]), ("::", ["[::1]", "127.0.0.1"]), ("127.0.0.1", ["127.0.0.1"])],
)
def test_both_ports_listen(progressive: Artifact, host: str, reached: list[str]) -> None:
    with serving(progressive.folder, host=host) as running:
        for name in reached:
            assert httpx2.get(f"http://{name}:{running.server.http_port}/readyz").json() == {"status": "ready"}
            with Client(f"{name}:{running.server.port}", str(progressive.folder)) as client:
                result = client.predict(tiny.picture("green"), OneShot(point=10), budget=10)
                assert result.best.name == "green"
                edges = running.server.deployment.edges
                lines = Overview(edges, 24).news(time.monotonic())["edges"]
                shown = [edge["name"] for edge in lines if edge["connected"]]
                assert shown == [name.strip("[]")]
