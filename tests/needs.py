"""What some tests need beside Python. Where it is missing they are skipped; with CI=true they fail, with a sentence."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from benchmarks.service.measure import FAKETIME

ROOT = Path(__file__).parent.parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@cache
def works(*command: str) -> bool:
    """Whether a command is there and ends with 0."""
    return shutil.which(command[0]) is not None and subprocess.run(command, capture_output=True).returncode == 0


def compose_command() -> list[str]:
    """Compose, the plugin or the program."""
    return ["docker", "compose"] if works("docker", "compose", "version") else ["docker-compose"]


def _namespaces() -> bool:
    """Whether this machine lets us make network namespaces."""
    name = f"artoveq-try-{os.getpid()}"
    return works("ip", "netns", "add", name) and works("ip", "netns", "del", name)


def _client_tools() -> bool:
    """Whether the clients in other languages can be run and built."""
    folders = ("clients/node", "clients/web", "tests/tools")
    installed = all((ROOT / folder / "node_modules").is_dir() for folder in folders)
    return installed and all(map(shutil.which, ("node", "make", "grpc_cpp_plugin")))


NEEDS: dict[str, tuple[Callable[[], bool], str]] = {
    "browser": (lambda: CHROMIUM is not None, "This test needs Chromium; scripts/setup installs it."),
    "docker": (
        lambda: works(*compose_command(), "version") and works("docker", "info"),
        "This test needs a Docker engine that answers, and Compose.",
    ),
    "root": (_namespaces, "This test makes network namespaces, which needs root and `ip`; scripts/setup installs it."),
    "clients": (
        _client_tools,
        "This test runs programs in Node and C++, which need packages of npm and Debian; scripts/setup installs them.",
    ),
    "prometheus": (
        lambda: all(map(shutil.which, ("prometheus", "promtool", "systemd-analyze"))),
        "This test needs Debian's packages prometheus and systemd; scripts/setup installs them.",
    ),
    "redis": (
        lambda: shutil.which("redis-server") is not None,
        "This test needs Debian's package redis-server; scripts/setup installs it.",
    ),
    "proxies": (
        lambda: all(map(shutil.which, ("haproxy", "nginx"))),
        "This test needs Debian's packages haproxy and nginx; scripts/setup installs them.",
    ),
    "registry": (
        lambda: shutil.which("docker-registry") is not None,
        "This test needs Debian's package docker-registry; scripts/setup installs it.",
    ),
    "faketime": (
        lambda: Path(FAKETIME).is_file(),
        "This test steps clocks, which needs libfaketime; scripts/setup installs it.",
    ),
}


def check(marker: str) -> None:
    """Ends a test of this marker where what it needs is missing."""
    there, sentence = NEEDS[marker]
    if not there():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(sentence)
