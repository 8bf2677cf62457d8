"""What crosses of an answer, and comes out the same."""

from __future__ import annotations

import numpy as np
import pytest

from tests.wire.manifests import manifest_of
from wire.exceptions import ArtifactError, ProtocolError
from wire.generated import remote_inference_pb2 as pb
from wire.tasks import TASKS, task_of
from wire.tasks.classification import Classification, ClassProbability, softmax

MANIFEST = manifest_of((1,), [(2,)])
TASK = task_of(MANIFEST)


def crossed(output: list[float], top_k: int) -> Classification:
    answer = pb.Answer()
    TASK.fill(answer, np.array(output, np.float32), MANIFEST, top_k)
    value = TASK.read(pb.Answer.FromString(answer.SerializeToString()))
    assert isinstance(value, Classification)
    return value


@pytest.mark.parametrize(("top_k", "named"), [(0, ["dog"]), (1, ["dog"]), (2, ["dog", "cat"]), (9, ["dog", "cat"])])
def test_the_most_probable_classes_cross(top_k: int, named: list[str]) -> None:
    value = crossed([0.25, 0.75], top_k)
    assert [one.name for one in value.classes] == named
    assert value.best == ClassProbability(1, "dog", 0.75) and TASK.confidence(value) == 0.75
    assert TASK.describe(value)["classes"][0] == {"index": 1, "name": "dog", "probability": 0.75}


def test_temperatures_divide_the_logits_of_each_picture() -> None:
    logits = np.array([[0.0, 2.0], [0.0, 2.0]], np.float32)
    found = TASK.postprocess(logits, np.array([1.0, 2.0], np.float32))
    np.testing.assert_allclose(found, softmax(np.array([[0.0, 2.0], [0.0, 1.0]], np.float32)))
    np.testing.assert_allclose(softmax(np.array([[1000.0, 1000.0]], np.float32)), [[0.5, 0.5]])


def test_an_answer_of_another_task_is_refused() -> None:
    for answer in (pb.Answer(), pb.Answer(classification=pb.Classification())):
        with pytest.raises(ProtocolError, match="names no class"):
            TASK.read(answer)


def test_a_task_that_nobody_knows_is_named() -> None:
    task = MANIFEST.task.model_copy(update={"name": "reading tea leaves"})
    with pytest.raises(ArtifactError, match="'reading tea leaves', and this artoveq knows classification"):
        task_of(MANIFEST.model_copy(update={"task": task}))
    assert "reading tea leaves" not in TASKS
