"""A decoder's process: it decodes what front ends send, several of their batches as one."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, Listener
from pathlib import Path

import numpy as np

from inference_server.decoder import Decoder, open_decoder, pictures_within, sizes_of
from inference_server.programs import cuda_devices
from inference_server.settings import Settings
from inference_server.workers.batches import FAULT, MOST_BYTES, OPEN, OUTPUT, Job, Jobs, output_frame, read_batch
from inference_server.workers.line import frame
from inference_server.workers.process import begin, of_device
from wire.artifact import load_artifact
from wire.distribution import model_folder
from wire.exceptions import ArtoveqError, SettingsError
from wire.payload import Indices
from wire.signatures import check_signed

log = logging.getLogger(__name__)


@dataclass
class _Served:
    decoder: Decoder
    sizes: Indices
    """By point (P + 1, S)."""
    caller_pictures: int
    users: int = 0


class Decoders:
    """The models' decoders on one device, each for as long as a front end has it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._served: dict[str, _Served] = {}
        self._lock = threading.Lock()
        for folder in settings.model:
            self.add(model_folder(folder))

    def add(self, folder: Path, fingerprint: str | None = None) -> str:
        """Loads a model that is not loaded yet; gives its fingerprint.

        Raises:
            ArtoveqError: if it cannot be decoded here.
        """
        settings = self._settings
        with self._lock:
            if fingerprint is not None and fingerprint in self._served:
                return fingerprint
            artifact = load_artifact(folder)
            if settings.require_signature is not None:
                check_signed(artifact, settings.require_signature)
            manifest = artifact.manifest
            if fingerprint not in (None, manifest.fingerprint):
                raise SettingsError(f"{folder} has changed while it was loaded; add it again.")
            decoder = open_decoder(artifact, settings.decoder_threads, settings.decoder, settings.precision)
            each = pictures_within(settings.caller_batch_ms / 1000, decoder, manifest, settings.batch_pictures)
            self._served[manifest.fingerprint] = _Served(decoder, sizes_of(manifest), each)
            return manifest.fingerprint

    def use(self, folder: Path, fingerprint: str) -> _Served:
        """For one connection, until `leave`."""
        served = self._served[self.add(folder, fingerprint)]
        with self._lock:
            served.users += 1
        return served

    def leave(self, fingerprint: str) -> None:
        """What nobody uses is unloaded."""
        with self._lock:
            self._served[fingerprint].users -= 1
            if not self._served[fingerprint].users:
                del self._served[fingerprint]

    @property
    def devices(self) -> int:
        """How many there are like this one's: GPUs, where models are decoded there, or may be; else one."""
        on_gpu = [served.decoder.device == "cuda" for served in self._served.values()]
        return max(1, cuda_devices()) if any(on_gpu or [self._settings.decoder != "onnx"]) else 1

    def decode(self, jobs: list[Job]) -> None:
        """Jobs of one model, as one batch."""
        served = self._served.get(jobs[0].model)
        points = np.concatenate([job.points for job in jobs])
        try:
            assert served is not None
            indices = np.concatenate([job.indices for job in jobs])
            questions = np.concatenate([job.questions for job in jobs])
            output = served.decoder.decode(indices, served.sizes[points], points, questions)
        except Exception as error:  # a fault of one batch must not end the service
            log.exception("The decoder failed on a batch of %d.", len(points))
            for job in jobs:
                job.finish(error)
            return
        for job, part in zip(jobs, np.split(output, np.cumsum([len(job.points) for job in jobs])[:-1]), strict=True):
            job.finish(part)


def _answer(connection: Connection, decoders: Decoders, jobs: Jobs) -> None:
    """One front end's batches of one model, in a thread."""
    fingerprint = ""
    try:
        while True:
            said = connection.recv_bytes(MOST_BYTES)
            if said[:1] == OPEN:
                named = json.loads(said[1:])
                try:
                    served = decoders.use(Path(named["folder"]), named["fingerprint"])
                except ArtoveqError as error:
                    connection.send_bytes(FAULT + str(error).encode())
                    continue
                fingerprint = named["fingerprint"]
                about = {"device": served.decoder.device, "caller_pictures": served.caller_pictures}
                connection.send_bytes(OUTPUT + json.dumps(about).encode())
                continue
            job = Job(fingerprint, *read_batch(said))
            jobs.put(job)
            job.done.wait()
            failed = isinstance(job.outcome, Exception)
            connection.send_bytes(FAULT + str(job.outcome).encode() if failed else output_frame(job.outcome))  # type: ignore[arg-type]
    except (OSError, EOFError):
        connection.close()  # the front end has gone
    finally:
        if fingerprint:
            decoders.leave(fingerprint)


def decode_batches(
    settings: Settings, control: socket.socket, address: Path, device: int, set_up: Callable[[], None]
) -> None:
    """The process: until the supervisor ends it, or has gone."""
    begin(set_up)
    of_device(device)
    try:
        decoders = Decoders(settings)
    except ArtoveqError as error:
        control.sendall(frame({"number": 0, "verb": "failed", "given": {"text": str(error)}}))
        control.recv(1)
        os._exit(1)
    jobs, listener = Jobs(settings.batch_pictures), Listener(str(address), "AF_UNIX", backlog=128)

    def accept() -> None:
        while True:
            connection = listener.accept()
            threading.Thread(target=_answer, args=(connection, decoders, jobs), daemon=True).start()

    def heed() -> None:
        while control.recv(4096):
            pass
        os._exit(0)  # the supervisor has gone

    threading.Thread(target=accept, daemon=True).start()
    threading.Thread(target=heed, daemon=True).start()
    control.sendall(frame({"number": 0, "verb": "ready", "given": {"devices": decoders.devices}}))
    while True:
        decoders.decode(jobs.take())
