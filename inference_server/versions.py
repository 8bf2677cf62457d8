"""What of models' versions outlives the process: which there are, which edges get, what was current before."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from wire.exceptions import ServerError, SettingsError
from wire.files import replace_synced

log = logging.getLogger(__name__)

Fingerprint = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class NotKept(ServerError):
    """A change would not have outlived the process, so it was not made."""


class KeptVersion(BaseModel):
    """Where one lies."""

    model_config = ConfigDict(extra="forbid")

    fingerprint: Fingerprint
    folder: Path


class KeptName(BaseModel):
    """A name's versions. chosen: that have been current, the one that is last. share: of the canary, 0 without one."""

    model_config = ConfigDict(extra="forbid")

    name: str
    versions: list[KeptVersion]
    chosen: list[Fingerprint]
    canary: Fingerprint | None = None
    share: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Kept(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid")

    names: list[KeptName] = []

    @model_validator(mode="after")
    def _once(self) -> Kept:
        found = [version.fingerprint for name in self.names for version in name.versions]
        for one in found:
            if found.count(one) > 1:
                raise ValueError(f"two versions have the fingerprint {one[:12]}")
        return self


class VersionsFile:
    """A file that is there whole, in its old state or its new one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Kept:
        """Nothing, where there is no file.

        Raises:
            SettingsError: if it cannot be read, or is none of ours; it stays as it is.
        """
        try:
            return Kept.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return Kept()
        except OSError as error:
            raise SettingsError(f"The versions file {self._path} cannot be read ({error.strerror}).") from error
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(map(str, fault["loc"])) or "as a whole"
            raise SettingsError(
                f"The versions file {self._path} is broken ({where}: {fault['msg']}); mend it, or move it away to "
                "begin with the models that are named."
            ) from error

    def write(self, kept: Kept) -> None:
        """Returns once it is on the disk.

        Raises:
            NotKept: if it cannot be; the file is as it was.
        """
        try:
            replace_synced(self._path, (kept.model_dump_json(indent=1) + "\n").encode())
        except OSError as error:
            raise NotKept(
                f"The versions file {self._path} cannot be written ({error.strerror}), so all stays as it was; let the "
                "server write there, and free some space."
            ) from error
