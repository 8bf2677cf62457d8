"""Where frames come from. Always the newest one: what nobody took in time is dropped, never queued."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wire.exceptions import FrameError, PictureError
from wire.pictures import PICTURE_SUFFIXES, Picture, read_picture
from wire.shown import without_secrets

log = logging.getLogger(__name__)

POLL_S = 0.1
WRITING_S = 2.0
"""A damaged file younger than this may still be written."""
RECONNECT_S = 2.0
FRAMES_PER_SECOND = 30.0
"""Where a video does not say."""
ADDRESSES = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://")


@dataclass(frozen=True)
class Frame:
    """A frame, and when it came (monotonic seconds)."""

    number: int
    name: str
    picture: Picture
    taken: float

    @property
    def age(self) -> float:
        return time.monotonic() - self.taken


def open_frames(source: str) -> AsyncIterator[Frame]:
    """The frames of a source: "camera:0", an RTSP or HTTP address, a video file, or a folder that fills up.

    Ends where a video file ends; a camera or a folder has no end.

    Raises:
        FrameError: if there is no such source.
    """
    kind, _, number = source.partition(":")
    if kind == "camera":
        if not number.isdecimal():
            raise FrameError(f"{source!r} is no camera; write camera:0 for the first one.")
        return _video(int(number), source, live=True)
    if source.startswith(ADDRESSES):
        return _video(source, without_secrets(source), live=True)
    path = Path(source)
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise FrameError(
            f"There is no file or folder {without_secrets(source)}; name one, or write camera:0 or an rtsp:// address."
        )
    return _video(source, path.name, live=False)


async def _folder(folder: Path) -> AsyncIterator[Frame]:
    """Of the pictures that came since the last one, the newest."""
    number, seen = 0, 0.0
    while True:
        found = await asyncio.to_thread(_newest_file, folder, seen)
        if found is None:
            await asyncio.sleep(POLL_S)
            continue
        path, changed = found
        try:
            picture = await asyncio.to_thread(read_picture, path)
        except PictureError as error:
            if time.time() - changed < WRITING_S:  # it may still be on its way into the folder
                await asyncio.sleep(POLL_S)
                continue
            log.warning("%s", error)
            seen = changed
            continue
        number, seen = number + 1, changed
        yield Frame(number, path.name, picture, time.monotonic())


def _newest_file(folder: Path, seen: float) -> tuple[Path, float] | None:
    """The picture file that came into the folder last, if it came after `seen`; and when."""
    files = []
    try:
        for path in folder.iterdir():
            if path.suffix.lower() in PICTURE_SUFFIXES:
                with contextlib.suppress(FileNotFoundError):  # taken away meanwhile
                    files.append((path, path.stat().st_ctime))
    except OSError as error:
        raise FrameError(f"The folder {folder} cannot be read ({error.strerror}).") from error
    newest = max(files, key=lambda file: file[1], default=None)
    return newest if newest and newest[1] > seen else None


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
