"""What "95 % sure" is worth: pictures that stop at the first plane whose answer is so sure, on the test pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from artoveq.evaluation import answered
from training.data import Split
from training.scores import scores
from wire.artifact import load_artifact
from wire.exceptions import UsageError

MIN_CONFIDENCE = (0.8, 0.9, 0.95, 0.99)


def confidence(model: Path, test: Split) -> dict[str, Any]:
    """Per threshold: the part that stopped, how often those were right, and mean planes and bytes of all.

    Raises:
        UsageError: if the model is not refinable.
    """
    artifact = load_artifact(model)
    manifest, answers = artifact.manifest, answered(artifact, test)
    if not manifest.refinable:
        raise UsageError(f"{manifest.name} is not refinable: no picture can stop early; name a progressive artifact.")
    sure = np.stack([answers[point].max(1) for point in manifest.chain])
    right = np.stack([answers[point].argmax(1) == test.labels for point in manifest.chain])
    sent = np.array([manifest.point(point).mean_bytes for point in manifest.chain])
    rows = []
    for least in MIN_CONFIDENCE:
        passed = sure >= least
        stopped, at = passed.any(0), np.where(passed.any(0), passed.argmax(0), len(sent) - 1)
        final = right[at, np.arange(len(at))]
        rows.append(
            {
                "min_confidence": least,
                "stopped": round(float(stopped.mean()), 4),
                "right_of_the_stopped": round(float(final[stopped].mean()), 4),
                "right_of_all": round(float(final.mean()), 4),
                "mean_planes": round(float(at.mean() + 1), 2),
                "mean_bytes": round(float(sent[at].mean()), 1),
            }
        )
    calibration = {level: scores(answers[point], test.labels).ece for level, point in manifest.levels.items()}
    return {"model": manifest.name, "pictures": len(test), "rows": rows, "ece_by_level": calibration}
