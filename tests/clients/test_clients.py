"""The clients in other languages compute the vectors, and are answered as ours is."""

from __future__ import annotations

import re
import subprocess

import pytest

from artoveq import Client, OneShot
from artoveq.processes import ServerProcess
from benchmarks.clients.foreign import COMMANDS, build, classify, run
from tests.conftest import PICTURES, ROOT
from wire.artifact import Artifact

pytestmark = pytest.mark.clients
WEB = ROOT / "clients" / "web"
FILES = [PICTURES / name for name in ("dingo.png", "dog.png", "fox.png")]


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    build()


@pytest.mark.parametrize("command", [("node", "--test"), ("node_modules/.bin/tsc", "-p", ".")])
def test_the_package_for_browsers_holds_what_it_says(command: tuple[str, ...]) -> None:
    done = subprocess.run(command, cwd=WEB, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("client", COMMANDS)
def test_the_vectors_agree(client: str) -> None:
    found = re.fullmatch(r"(\d+) vectors agree\n", run(client, "check", str(ROOT)))
    assert found is not None and int(found[1]) > 100


@pytest.mark.parametrize("client", COMMANDS)
def test_answers_are_those_of_our_client(client: str, server: ServerProcess, artifact: Artifact) -> None:
    chain = artifact.manifest.chain
    with Client(server.address) as ours:
        for point, runs in ((chain[-1], 0), (chain[20], 0), (chain[20], 3)):
            theirs = classify(client, server.address, FILES, point=point, runs=runs)
            for file, found in zip(FILES, theirs, strict=True):
                expected = ours.predict(str(file), mode=OneShot(point=point))
                assert found["name"] == expected.best.name and found["point"] == point
                assert found["probability"] == pytest.approx(expected.best.probability, abs=0.01)
                if not runs:
                    assert found["bytes"] == expected.payload_bytes
