"""Checkpoints: written whole or not at all, and refused by another recipe."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from wire.exceptions import CheckpointError


def save_checkpoint(path: Path, key: str, state: dict[str, Any]) -> None:
    """Writes beside `path`, then renames: when the disk is full the old checkpoint stays whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".partial")
    try:
        torch.save({"key": key, **state}, fresh)
        os.replace(fresh, path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        fresh.unlink(missing_ok=True)
        raise CheckpointError(
            f"The checkpoint {path} could not be written ({error}); free some space and run the command again, "
            "it resumes from the last whole checkpoint."
        ) from error


def load_checkpoint(path: Path, key: str, *, mapped: bool = False) -> dict[str, Any] | None:
    """The state saved under `path`, or None where there is none yet; `mapped`, its tensors stay in the file.

    Raises:
        CheckpointError: if it was made by another recipe, or is damaged.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # torch raises many kinds for a damaged file
        raise CheckpointError(f"The checkpoint {path} is damaged ({error}); delete it to start again.") from error
    if state.pop("key", None) != key:
        raise CheckpointError(f"The checkpoint {path} was made by another recipe; delete it to start again.")
    return state
