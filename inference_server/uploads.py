"""Picture files that are arriving: so many bytes of one, of one caller's, and of all."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator

from wire.exceptions import PictureError, ServerOverloaded


class UploadTooLarge(PictureError):
    """The picture file has more bytes than the limit."""


class UploadTooSlow(PictureError):
    """The picture file has not arrived in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The picture file did not arrive within {seconds:g} s; send a smaller one.")


class Upload:
    """One file; what it holds counts until the block of `Uploads.one` ends."""

    def __init__(self, uploads: Uploads, caller: str) -> None:
        self._uploads, self._caller = uploads, caller
        self._pieces: list[bytes] = []
        self.size = 0

    def expect(self, size: int) -> None:
        """Raises UploadTooLarge where a file of so many bytes would be beyond the limit."""
        if size > self._uploads.most_of_file:
            limit = self._uploads.most_of_file
            raise UploadTooLarge(f"The picture file has more than {limit:,} bytes; send a smaller one.")

    def add(self, piece: bytes) -> None:
        """A piece has arrived.

        Raises:
            UploadTooLarge: if the file is beyond the limit.
            ServerOverloaded: if the caller, or all callers together, hold too much.
        """
        self.expect(self.size + len(piece))
        self._uploads.take(self._caller, len(piece))
        self._pieces.append(piece)
        self.size += len(piece)

    def file(self) -> bytes:
        """All of it, once."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data


class Uploads:
    """most_of_file, most: bytes of one file, and of all that are held. A caller may hold half of them.

    most_of_caller: files of one caller.
    """

    def __init__(self, *, most_of_file: int, most: int, most_of_caller: int) -> None:
        self.most_of_file, self._most, self._most_of_caller = most_of_file, max(most, most_of_file), most_of_caller
        self.held = 0
        """Bytes of all."""
        self._held_of: Counter[str] = Counter()
        self._files_of: Counter[str] = Counter()

    @contextlib.contextmanager
    def one(self, caller: str) -> Iterator[Upload]:
        """A file of the caller's.

        Raises:
            ServerOverloaded: if it has too many under way.
        """
        if self._files_of[caller] >= self._most_of_caller:
            raise ServerOverloaded(f"{caller} has {self._most_of_caller} picture files under way; wait for answers.")
        self._files_of[caller] += 1
        upload = Upload(self, caller)
        try:
            yield upload
        finally:
            self._give_back(caller, upload.size)

    def take(self, caller: str, size: int) -> None:
        """Counts bytes of a caller.

        Raises:
            ServerOverloaded: if that is too much.
        """
        most_of_one = max(self._most // 2, self.most_of_file)
        if self.held + size > self._most or self._held_of[caller] + size > most_of_one:
            raise ServerOverloaded("Too many bytes of picture files are arriving; try again a little later.", 1.0)
        self.held += size
        self._held_of[caller] += size

    def _give_back(self, caller: str, size: int) -> None:
        self.held -= size
        for counted, number in ((self._held_of, size), (self._files_of, 1)):
            counted[caller] -= number
            if not counted[caller]:
                del counted[caller]
