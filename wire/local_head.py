"""Point 0: from what encoder.onnx says beside its indices to the edge's own answer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wire.exceptions import ArtifactError, PointError
from wire.manifest import LocalHead, Manifest
from wire.tasks import Output, task_of


def local_head_of(manifest: Manifest) -> LocalHead:
    """The manifest's.

    Raises:
        PointError: if the edge of this model has no answer of its own.
    """
    if manifest.local_head is None:
        raise PointError(
            f"{manifest.name} has no local head, so that its edge cannot answer alone (point 0); give it one with "
            "`artoveq local-head`, or ask for a point from 1 on."
        )
    return manifest.local_head


def local_outputs(manifest: Manifest, logits: NDArray[Any], pictures: int) -> Output:
    """Calibrated answers (B, classes) from `LOCAL_LOGITS`, which may come from a stranger's graph.

    Raises:
        PointError: as `local_head_of`.
        ArtifactError: if they are no logits.
    """
    temperature = local_head_of(manifest).temperature
    expected = (pictures, len(manifest.task.classes))
    if logits.dtype != np.float32 or logits.shape != expected or not np.isfinite(logits).all():
        raise ArtifactError(
            f"The local head of {manifest.name} gives {logits.dtype} {logits.shape}, in place of finite numbers "
            f"{expected}; export the model again."
        )
    return task_of(manifest).postprocess(logits, np.full(pictures, temperature, np.float32))
