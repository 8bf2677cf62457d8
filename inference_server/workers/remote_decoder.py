"""The decoder as a front end sees it: in another process, which may have to be started anew meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import TypeVar

from inference_server.decoder import Points, Sizes
from inference_server.workers.batches import FAULT, MOST_BYTES, OPEN, batch_frame, read_output
from wire.artifact import Artifact
from wire.exceptions import ServerError, SettingsError
from wire.payload import Indices
from wire.questions import Question
from wire.tasks import Output

T = TypeVar("T")

AWAY_S = 20.0
"""For so long a batch waits for its decoder's process: to begin, or to begin again."""
AGAIN_S = 0.05


class RemoteDecoder:
    """One model's decoder, for one thread. address: of the decoder's process.

    Raises:
        SettingsError: if it cannot decode this model.
    """

    def __init__(self, address: Path, artifact: Artifact) -> None:
        self._address, self._artifact = address, artifact
        self._connection: Connection | None = None
        self.device, self.caller_pictures = "", 1
        """Where it decodes, and how many pictures one caller may have in a batch while others are about."""
        self._within(self._opened)

    def decode(self, indices: Indices, sizes: Sizes, points: Points, questions: Question | None = None) -> Output:
        """As any decoder; the sizes follow from the points. Decoding changes nothing, so it may be asked for again.

        Raises:
            ServerError: if it fails, or takes too long.
        """
        asked = batch_frame(indices, points, questions)
        return self._within(lambda: read_output(self._asked(self._connection or self._opened(), asked)))

    def _within(self, attempt: Callable[[], T]) -> T:
        """What an attempt gives, made again as long as nobody answers."""
        until = time.monotonic() + AWAY_S
        while True:
            try:
                return attempt()
            except (OSError, EOFError) as error:
                self._connection = None
                if time.monotonic() > until:
                    raise ServerError("The decoder's process does not answer; try again a little later.") from error
                time.sleep(AGAIN_S)

    def _opened(self) -> Connection:
        connection = Client(str(self._address), "AF_UNIX")
        named = {"folder": str(self._artifact.folder), "fingerprint": self._artifact.manifest.fingerprint}
        about = json.loads(self._asked(connection, OPEN + json.dumps(named).encode())[1:])
        self.device, self.caller_pictures = about["device"], about["caller_pictures"]
        self._connection = connection
        return connection

    def _asked(self, connection: Connection, frame: bytes) -> bytes:
        connection.send_bytes(frame)
        if not connection.poll(AWAY_S):
            raise TimeoutError("no answer")  # an OSError
        said = connection.recv_bytes(MOST_BYTES)
        if said[:1] == FAULT:
            text = said[1:].decode()
            raise SettingsError(text) if frame[:1] == OPEN else ServerError(text)
        return said
