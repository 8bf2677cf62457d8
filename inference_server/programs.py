"""torch, where it is installed: the programs of an artifact, and where they run."""

from __future__ import annotations

import io
from typing import Any

from wire.artifact import Artifact
from wire.exceptions import ArtifactError


def open_program(artifact: Artifact, file: str, device: str) -> Any:
    """A torch.export program of an artifact, to be called.

    Raises:
        ArtifactError: if it cannot be opened, or torch is not installed.
    """
    named = f"{file} of the model {artifact.manifest.name}"
    try:
        import torch
        from torch.export.passes import move_to_device_pass
    except ImportError as error:
        extra = "gpu" if artifact.manifest.task.free_text is None else "llm"
        raise ArtifactError(f"{named} needs torch; install it with `pip install 'artoveq[{extra}]'`.") from error
    program = io.BytesIO(artifact.read(file))
    try:
        return move_to_device_pass(torch.export.load(program), device).module()
    except Exception as error:  # whatever torch makes of a program that no exporter wrote
        raise ArtifactError(f"{named} cannot be opened ({type(error).__name__}); export it again.") from error


def torch_device() -> str:
    """Where programs run: a GPU, where there is one."""
    return "cuda" if cuda_devices() else "cpu"


def cuda_devices() -> int:
    """How many GPUs there are for torch."""
    try:
        import torch
    except ImportError:
        return 0
    return torch.cuda.device_count() if torch.cuda.is_available() else 0
