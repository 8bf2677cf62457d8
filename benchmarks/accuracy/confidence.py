"""What "95 % sure" is worth: pictures that stop at the first plane whose answer is so sure, on the test pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from artoveq.evaluation import answered
from training.data import Split
from training.scores import scores
from wire.artifact import load_artifact

ENOUGH = (0.8, 0.9, 0.95, 0.99)


def confidence(model: Path, test: Split) -> dict[str, Any]:
    """Per threshold: the part that stopped, how often those were right, and mean planes and bytes of all."""
    artifact = load_artifact(model)
    levels, answers = artifact.manifest.levels, answered(artifact, test)
    sure = np.stack([answers[row.level].max(1) for row in levels])
    right = np.stack([answers[row.level].argmax(1) == test.labels for row in levels])
    sent = np.array([row.payload_bytes for row in levels])
    rows = []
    for enough in ENOUGH:
        passed = sure >= enough
        stopped, at = passed.any(0), np.where(passed.any(0), passed.argmax(0), len(levels) - 1)
        final = right[at, np.arange(len(at))]
        rows.append(
            {
                "enough": enough,
                "stopped": round(float(stopped.mean()), 4),
                "right_of_the_stopped": round(float(final[stopped].mean()), 4),
                "right_of_all": round(float(final.mean()), 4),
                "mean_planes": round(float(at.mean() + 1), 2),
                "mean_bytes": round(float(sent[at].mean()), 1),
            }
        )
    calibration = {row.level: scores(answers[row.level], test.labels).ece for row in levels}
    return {"model": artifact.manifest.name, "pictures": len(test), "rows": rows, "ece": calibration}
