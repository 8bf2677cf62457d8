"""Where frames come from. Of a video always the newest one, and what nobody took in time is dropped, never queued.

A folder is a queue on the disk: each of its pictures is taken, in the order of their arrival.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import secrets
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from artoveq.watch.arrivals import Arrivals, File
from edge_client.spool import KEY_BYTES, Arrival, Spool
from wire.exceptions import FrameError, PictureError, SpoolError
from wire.pictures import PICTURE_SUFFIXES, Picture, read_picture
from wire.shown import without_secrets

log = logging.getLogger(__name__)

POLL_S, POLL_SHARE = 0.1, 0.1
"""How often a folder is looked at, and the share of the time that looking may take."""
RECONNECT_S = 2.0
FRAMES_PER_SECOND = 30.0
"""Where a video does not say."""
ADDRESSES = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://")


@dataclass(frozen=True)
class Frame:
    """A frame, and when it came (monotonic seconds).

    arrival: the file that it is; None from a video. key: names the picture, so that a result that comes twice is known.
    """

    number: int
    name: str
    picture: Picture
    taken: float
    arrival: Arrival | None = None
    key: bytes = field(default_factory=lambda: secrets.token_bytes(KEY_BYTES))

    @property
    def age(self) -> float:
        return time.monotonic() - self.taken


def open_frames(source: str, *, existing: bool = False, spool: Spool | None = None) -> AsyncIterator[Frame]:
    """The frames of a source: "camera:0", an RTSP or HTTP address, a video file, or a folder that fills up.

    Ends where a video file ends; a camera or a folder has no end. What comes into a folder from this call on is taken;
    existing: also what is there. spool: knows what was taken of the folder before, and what came meanwhile is taken.

    Raises:
        FrameError: if there is no such source.
    """
    kind, _, rest = source.partition(":")
    if kind == "camera":
        if not rest.isdecimal():
            raise FrameError(f"{source!r} is no camera; write camera:0 for the first one.")
        return _video(int(rest), source, live=True)
    if source.startswith(ADDRESSES):
        return _video(source, without_secrets(source), live=True)
    path = Path(rest if kind == "folder" else source)
    if path.is_dir():
        folder = path.resolve()
        return _folder(folder, _known(folder, existing, spool), spool)
    if kind == "folder" or not path.is_file():
        raise FrameError(
            f"There is no file or folder {without_secrets(source)}; name one, or write camera:0 or an rtsp:// address."
        )
    if existing:
        raise FrameError(f"{path} is no folder; --existing is for the pictures that are in one.")
    return _video(source, path.name, live=False)


def _known(folder: Path, existing: bool, spool: Spool | None) -> dict[str, str]:
    """The files that are dealt with before anything is taken, and their marks."""
    known = spool.taken(folder) if spool is not None else None
    if known is None:
        known = {} if existing else _listed(folder)
        if spool is not None:
            spool.tick_off(folder, known)
    return known


async def _folder(folder: Path, known: dict[str, str], spool: Spool | None) -> AsyncIterator[Frame]:
    arrivals, number = Arrivals(known), 0
    while True:
        began = time.monotonic()
        found = await asyncio.to_thread(_listed, folder)
        scanned = time.monotonic()
        pause = max(POLL_S, (scanned - began) / POLL_SHARE)
        for name in arrivals.scan(found, scanned):
            log.warning("%s was taken away before it was read.", folder / name)
        if (gone := arrivals.forgotten(found)) and spool is not None:
            with contextlib.suppress(SpoolError):  # it knows more than it must
                spool.drop(folder, gone)
        while time.monotonic() < scanned + pause and (file := arrivals.next(time.monotonic())) is not None:
            try:
                picture = await asyncio.to_thread(_read, folder, file)
            except PictureError as error:
                if arrivals.unreadable(file, time.monotonic()):
                    log.warning("%s", error)
                    if spool is not None:
                        with contextlib.suppress(SpoolError):  # then it is said once more
                            spool.tick_off(folder, {file.name: file.mark})
                continue
            if picture is None:
                await asyncio.sleep(POLL_S)
                break
            number += 1
            arrival = Arrival(folder, file.name, file.mark)
            yield Frame(number, file.name, picture, time.monotonic(), arrival, _key(arrival))
            arrivals.done(file)
        if arrivals.next(time.monotonic()) is None:
            await asyncio.sleep(pause)


def _listed(folder: Path) -> dict[str, str]:
    """Names and marks of the picture files in a folder, in the order of their arrival."""
    files = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if os.path.splitext(entry.name)[1].lower() in PICTURE_SUFFIXES:
                    with contextlib.suppress(FileNotFoundError):  # taken away meanwhile
                        files.append((entry.stat().st_ctime_ns, entry.name, _mark(entry.stat())))
    except OSError as error:
        raise FrameError(f"The folder {folder} cannot be read ({error.strerror}).") from error
    return {name: mark for _, name, mark in sorted(files)}


def _mark(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns} {status.st_size}"


def _read(folder: Path, file: File) -> Picture | None:
    """The picture; None where the file has changed since, or is gone."""
    picture = read_picture(folder / file.name)
    with contextlib.suppress(FileNotFoundError):
        return picture if _mark((folder / file.name).stat()) == file.mark else None
    return None


def _key(arrival: Arrival) -> bytes:
    named = b"\0".join([os.fsencode(arrival.folder), os.fsencode(arrival.name), arrival.mark.encode()])
    return hashlib.sha256(named).digest()[:KEY_BYTES]


async def _video(source: str | int, name: str, *, live: bool) -> AsyncIterator[Frame]:
    reader = _Reader(source, name, live=live)
    reader.start()
    number = 0
    try:
        while (taken := await asyncio.to_thread(reader.newest)) is not None:
            picture, at = taken
            number += 1
            yield Frame(number, name, picture, at)
    finally:
        reader.stopping.set()


class _Reader(threading.Thread):
    """Reads a video as it is filmed, or, from a file, as it plays; keeps the newest frame alone."""

    def __init__(self, source: str | int, name: str, *, live: bool) -> None:
        super().__init__(name=f"artoveq-{name}", daemon=True)
        import cv2

        self._cv2 = cv2
        self._source, self._label, self._live = source, name, live
        self._slot: tuple[Picture, float] | None = None
        self._changed = threading.Condition()
        self._ended = False
        self.stopping = threading.Event()
        self._video = cv2.VideoCapture(source)
        if not self._video.isOpened():
            raise FrameError(
                f"{name} cannot be opened as a video; check the address, or whether another program has it."
            )

    def newest(self) -> tuple[Picture, float] | None:
        """Waits for a frame that was not taken yet; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._slot is not None or self._ended)
            taken, self._slot = self._slot, None
        return taken

    def run(self) -> None:
        period = 1 / (self._video.get(self._cv2.CAP_PROP_FPS) or FRAMES_PER_SECOND)
        due = time.monotonic()
        while not self.stopping.is_set():
            whole, frame = self._video.read()
            if not whole:
                if not self._live:
                    break
                self._reopen()
                continue
            if not self._live:
                due += period
                self.stopping.wait(due - time.monotonic())
            with self._changed:
                picture = np.asarray(self._cv2.cvtColor(frame, self._cv2.COLOR_BGR2RGB), np.uint8)
                self._slot = (picture, time.monotonic())
                self._changed.notify()
        self._video.release()
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _reopen(self) -> None:
        log.warning("%s gives no frame; it is opened again.", self._label)
        self._video.release()
        self.stopping.wait(RECONNECT_S)
        self._video = self._cv2.VideoCapture(self._source)
