import numpy as np
import pytest

from inference_server.decoder import OnnxDecoder, TorchDecoder, open_decoder, softmax, trial
from wire.artifact import Artifact

RANDOM = np.random.default_rng(7)


def some_indices(count: int, levels: np.ndarray, m: int) -> np.ndarray:
    return (RANDOM.integers(0, 256, (count, m)) >> (8 - levels[:, None])).astype(np.uint8)


def test_a_prediction_does_not_depend_on_what_shares_its_batch(artifact: Artifact) -> None:
    levels = np.array([1 + i % 8 for i in range(24)], np.int64)
    indices = some_indices(24, levels, artifact.manifest.sub_vectors)
    decoder = OnnxDecoder(artifact)
    together = decoder.decode(indices, levels)
    for i in range(24):
        alone = decoder.decode(indices[i : i + 1], levels[i : i + 1])
        np.testing.assert_allclose(alone[0], together[i], atol=1e-5)
    order = RANDOM.permutation(24)
    np.testing.assert_allclose(decoder.decode(indices[order], levels[order]), together[order], atol=1e-5)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_torch_and_onnx_decode_alike(artifact: Artifact) -> None:
    pytest.importorskip("torch")
    levels = np.array([1, 4, 8, 2, 8], np.int64)
    indices = some_indices(5, levels, artifact.manifest.sub_vectors)
    expected = OnnxDecoder(artifact).decode(indices, levels)
    np.testing.assert_allclose(TorchDecoder(artifact, "cpu").decode(indices, levels), expected, atol=1e-4)


def test_on_a_gpu_every_batch_size_decodes_as_on_the_cpu(artifact: Artifact) -> None:
    """In bfloat16, through captured graphs that are called with fewer pictures than they hold, over and over."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("wants a GPU")
    decoder, reference = TorchDecoder(artifact, "cuda"), OnnxDecoder(artifact)
    for count in (1, 2, 3, 5, 8, 13, 32, 50, 64, 7, 1):
        levels = RANDOM.integers(1, 9, count)
        indices = some_indices(count, levels, artifact.manifest.sub_vectors)
        np.testing.assert_allclose(decoder.decode(indices, levels), reference.decode(indices, levels), atol=0.05)


def test_softmax_of_large_logits() -> None:
    np.testing.assert_allclose(softmax(np.array([[1000.0, 1000.0]], np.float32)), [[0.5, 0.5]])


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_the_fastest_decoder_is_one_of_both(artifact: Artifact) -> None:
    pytest.importorskip("torch")
    fastest = open_decoder(artifact, 1, "fastest")
    assert isinstance(fastest, OnnxDecoder | TorchDecoder)
    others = [OnnxDecoder(artifact, 1), TorchDecoder(artifact, "cpu")]
    times = [trial(decoder, artifact.manifest.sub_vectors) for decoder in others]
    if max(times) > 2 * min(times):  # else either will do
        assert isinstance(fastest, type(others[times.index(min(times))]))


def test_a_temperature_makes_answers_less_sure_and_changes_none(artifact: Artifact) -> None:
    levels = np.array([1, 4, 8], np.int64)
    indices = some_indices(3, levels, artifact.manifest.sub_vectors)
    rows = tuple(row.model_copy(update={"temperature": 3.0}) for row in artifact.manifest.levels)
    warm = Artifact(artifact.folder, artifact.manifest.model_copy(update={"levels": rows}))
    before, after = OnnxDecoder(artifact).decode(indices, levels), OnnxDecoder(warm).decode(indices, levels)
    assert (before.argmax(1) == after.argmax(1)).all()
    assert (after.max(1) < before.max(1)).all()
