"""The demo of docker-compose.yml in real containers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

import httpx2
import pytest

from tests.conftest import ROOT
from tests.needs import compose_command

COMPOSE = compose_command()
pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@pytest.fixture(scope="module")
def page() -> Iterator[str]:
    """The running demo: the address of its page."""
    ports = {"PAGE_PORT": free_port(), "GRPC_PORT": free_port()}

    def compose(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*COMPOSE, "--project-name", "artoveqtest", *arguments]
        return subprocess.run(command, cwd=ROOT, env={**os.environ, **ports}, capture_output=True, text=True)

    try:
        up = compose("up", "--build", "-d")
        assert up.returncode == 0, up.stdout + up.stderr
        yield f"http://127.0.0.1:{ports['PAGE_PORT']}"
    finally:
        print(compose("logs", "--tail", "20").stdout)
        compose("down", "--volumes", "--timeout", "5")


def reports(page: str, name: str, seconds: float) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """What the page is told of an edge: each report, with the newest picture then."""
    until = time.monotonic() + seconds
    number = None
    while number is None and time.monotonic() < until:  # edges come a while after the server
        known = httpx2.get(f"{page}/v1/edges", headers={"Accept": "application/json"}, timeout=30).json()["edges"]
        number = next((edge["number"] for edge in known if edge["name"] == name), None)
        time.sleep(0.2)
    assert number is not None, known
    with httpx2.stream("GET", f"{page}/v1/edges", params={"edge": number}, timeout=30) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                edge = json.loads(line.removeprefix("data: "))["edge"]
                yield from ((report, edge) for report in edge["reports"])
            if time.monotonic() > until:
                return


def test_browsers_can_be_edges(page: str) -> None:
    for name in ("edge", "web/index.js", "vendor/ort/ort.wasm.min.mjs", "vendor/ort/ort-wasm-simd-threaded.wasm"):
        assert httpx2.get(f"{page}/{name}", timeout=30).status_code == 200, name


def test_the_answer_sharpens_run_by_run(page: str) -> None:
    """Not every picture has time for a second answer."""
    pictures = (edge["picture"] for _, edge in reports(page, "drone", 60) if edge["picture"])
    points = next(seen for one in pictures if len(seen := [answer["point"] for answer in one["answers"]]) > 1)
    assert points == sorted(set(points))


@pytest.mark.parametrize("name", ["drone", "gate"])
def test_the_bytes_follow_the_capacity(page: str, name: str) -> None:
    """Fewer when the trace is low; the first pictures after a change are still a search."""
    sizes: dict[str, list[int]] = {"high": [], "low": []}
    for report, _ in reports(page, name, 75):
        kind = "high" if report["true_capacity"] >= 48e3 else "low" if report["true_capacity"] <= 12e3 else None
        if kind:
            sizes[kind].append(report["payload_bytes"])
        if min(map(len, sizes.values())) >= 15:
            break
    assert median(sizes["low"]) + 128 <= median(sizes["high"]), sizes


def test_the_images_are_small_and_safe(page: str) -> None:
    def size(image: str) -> int:
        inspected = subprocess.run(["docker", "image", "inspect", image], capture_output=True, text=True, check=True)
        return int(json.loads(inspected.stdout)[0]["Size"])

    assert size("artoveq-edge") - size(os.environ.get("BASE", "python:3.11-slim")) < 400e6  # OpenCV has 150 of them
    script = "id -u; ls /venv/lib/python3*/site-packages"
    command = ["docker", "run", "--rm", "--read-only", "--entrypoint", "sh", "artoveq-edge", "-c", script]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert listed[0] != "0"
    assert "onnxruntime" in listed and "torch" not in listed and "fastapi" not in listed
