"""What crosses of an answer, and comes out the same."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from tests.wire.manifests import manifest_of
from wire.exceptions import ArtifactError, ProtocolError
from wire.generated import remote_inference_pb2 as pb
from wire.tasks import TASKS, task_of
from wire.tasks.classification import Classification, ClassProbability, softmax
from wire.tasks.reconstruction import Reconstruction

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
    assert TASK.text(value).startswith("dog 75%") and TASK.utility(0.8) == 0.8
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
    with pytest.raises(ArtifactError, match="'reading tea leaves', and this artoveq knows classification, recon"):
        task_of(MANIFEST.model_copy(update={"task": task}))
    assert "reading tea leaves" not in TASKS


PICTURES = TASKS["reconstruction"]


@settings(deadline=None)
@given(arrays(np.float32, (3, 5, 5), elements=st.floats(-0.5, 1.5, width=32)))
def test_a_picture_crosses_clipped_and_rounded(output: NDArray[np.float32]) -> None:
    answer = pb.Answer()
    PICTURES.fill(answer, PICTURES.postprocess(output[None], np.ones(1, np.float32))[0], MANIFEST, 3)
    value = PICTURES.read(pb.Answer.FromString(answer.SerializeToString()))
    exact = output.transpose(1, 2, 0).clip(0, 1) * 255
    assert value.picture.dtype == np.uint8 and np.abs(value.picture - exact).max() <= 0.501
    assert base64.b64decode(PICTURES.describe(value)["png"]) == value.png == answer.reconstruction.png
    assert PICTURES.confidence(value) == 0  # so that no stream ends before its last plane


def test_what_is_no_picture_is_refused() -> None:
    for answer in (pb.Answer(), pb.Answer(reconstruction=pb.Reconstruction(png=b"GIF89a"))):
        with pytest.raises(ProtocolError, match="holds no PNG file; the server has another task"):
            PICTURES.read(answer)
    damaged = Reconstruction(b"\x89PNG\r\n\x1a\n" + bytes(40))
    with pytest.raises(ProtocolError, match="The server's answer is no picture: the reconstruction"):
        _ = damaged.picture


def test_psnr_is_worth_more_the_higher_it_is_and_one_at_most() -> None:
    worth = [PICTURES.utility(psnr) for psnr in (0, 16, 20, 24, 40, 100)]
    assert worth == sorted(worth) and worth[0] == 0 and worth[2] == 0.5 and worth[-1] == 1
