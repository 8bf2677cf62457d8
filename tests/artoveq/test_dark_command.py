"""`artoveq watch` and `classify` that start in the dark, and are killed on the way: nothing lost, nothing twice."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edge_client import Client, Spool
from inference_server import metrics
from tests import tiny
from tests.inference_server.serving import serving

COLOURS = list(tiny.CLASSES)
COUNT, PATIENCE_S = 200, 60.0


class Place:
    """An edge that has fetched its model from a server that is away now."""

    def __init__(self, folder: Path) -> None:
        self.model, self.spool, self.inbox = tiny.progressive(folder / "model").folder, folder / "s.db", folder / "in"
        self.inbox.mkdir()
        self.output, self.cache = folder / "out", folder / "cache"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.address = f"127.0.0.1:{self.port}"
        self.environment = {**os.environ, "ARTOVEQ_CACHE": str(self.cache)}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ARTOVEQ_CACHE", str(self.cache))
            with serving(self.model, port=self.port), Client(self.address):
                pass

    def command(self, *arguments: str) -> list[str]:
        return [
            sys.executable,
            "-m",
            "artoveq",
            *arguments,
            "--server",
            self.address,
            "--json",
            "--spool",
            str(self.spool),
        ]

    def drop(self, numbers: range) -> None:
        for number in numbers:
            colour = COLOURS[number % len(COLOURS)]
            Image.fromarray(tiny.picture(colour)).save(self.inbox / f"{number}-{colour}.png")

    @contextlib.contextmanager
    def watching(self, *prefix: str) -> Iterator[None]:
        """`artoveq watch`, until kill -9."""
        command = [*prefix, *self.command("watch", f"folder:{self.inbox}"), "--existing"]
        with (
            self.output.open("ab") as output,
            subprocess.Popen(command, stdout=output, env=self.environment) as process,
        ):
            try:
                yield
            finally:
                process.kill()

    def records(self) -> list[dict[str, Any]]:
        lines = self.output.read_bytes().split(b"\n")[:-1] if self.output.exists() else []
        return [json.loads(line) for line in lines]

    def waiting(self) -> int:
        """Pictures in the spool, while nobody watches."""
        with contextlib.closing(Spool(self.spool, COUNT)) as spool:
            return len(spool)

    def wait_for(self, kind: str, count: int) -> None:
        """Until so many pictures have had a record of this kind."""
        until = time.monotonic() + PATIENCE_S
        while len({record["source"] for record in self.records() if kind in record}) < count:
            assert time.monotonic() < until, self.records()[-3:]
            time.sleep(0.005)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def counted() -> float:
    """Pictures that this process's servers have answered."""
    (family,) = metrics.PICTURES.collect()
    return sum(sample.value for sample in family.samples if sample.name.endswith("_total"))


@pytest.mark.slow
@pytest.mark.parametrize("prefix", [(), pytest.param(("unshare", "--net"), marks=pytest.mark.root)])
def test_every_picture_of_a_folder_is_answered_once(place: Place, prefix: tuple[str, ...]) -> None:
    with place.watching(*prefix):
        place.drop(range(COUNT // 2))
        place.wait_for("kept", 20)
    place.drop(range(COUNT // 2, COUNT))  # while nobody watches
    unsaid = place.waiting() - len(place.records())
    assert unsaid in (0, 1)  # the kill may come between a picture's way into the spool and its record
    with place.watching(*prefix):
        place.wait_for("kept", COUNT - unsaid)
    assert place.waiting() == COUNT
    before = counted()
    with serving(place.model, port=place.port):
        for answered in (COUNT // 10, COUNT // 2, COUNT):
            with place.watching():
                place.wait_for("delivered", answered)
        assert counted() - before == COUNT
    answers = defaultdict(list)
    for record in place.records():
        assert "error" not in record
        if "delivered" in record:
            answers[record["source"]].append((record["key"], record["class"]))
    assert len(answers) == COUNT
    for source, given in answers.items():
        assert len(set(given)) == 1 and given[0][1] == source.removesuffix(".png").partition("-")[2]
    assert sum(map(len, answers.values())) <= COUNT + 2  # one whose result was out when the kill came, for each
    assert len({given[0][0] for given in answers.values()}) == COUNT


@pytest.mark.slow
def test_classify_keeps_what_it_cannot_send_and_answers_it_the_next_time(place: Place) -> None:
    def classify(*arguments: str) -> tuple[list[dict[str, Any]], str]:
        command = place.command("classify", *arguments)
        done = subprocess.run(command, capture_output=True, text=True, env=place.environment, timeout=PATIENCE_S)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    place.drop(range(8))
    kept, said = classify(str(place.inbox))
    assert len(kept) == 8 and all(record["kept"] for record in kept) and "8 pictures wait in" in said
    with serving(place.model, port=place.port):
        answered, said = classify()
    assert [record["picture"] for record in answered] == [record["picture"] for record in reversed(kept)]
    for record in answered:
        assert record["delivered"] and record["picture"].endswith(f"-{record['class']}.png")
    assert "wait in" not in said
