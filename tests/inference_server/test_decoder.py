from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from inference_server.decoder import Decoder, OnnxDecoder, TorchDecoder, open_decoder, pictures_within, trial
from inference_server.encoder import PictureEncoder
from tests import tiny
from tests.inference_server.conftest import png
from wire.artifact import Artifact, write_artifact
from wire.exceptions import PointError, SettingsError
from wire.manifest import DECODER, ENCODER, TORCH_DECODER
from wire.pictures import open_picture

RANDOM = np.random.default_rng(7)
pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"
)  # torch's own


def some(artifact: Artifact, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random indices (B, M), sizes (B, S) of these points (B,)."""
    rows = [artifact.manifest.point(int(point)).sizes for point in points]
    of_groups = np.array([row if len(row) == tiny.GROUPS else row * tiny.GROUPS for row in rows])
    largest = np.tile(of_groups, tiny.POSITIONS)
    return (RANDOM.random(largest.shape) * largest).astype(np.int32), np.array(rows, np.int32), points


def some_points(artifact: Artifact, count: int) -> np.ndarray:
    return RANDOM.integers(1, 1 + len(artifact.manifest.points), count)


def with_torch(artifact: Artifact, folder: Path, runtimes: tuple[str, ...] = (DECODER, TORCH_DECODER)) -> Artifact:
    """The same with the decoder for torch, which averages red and green as `tiny` says."""
    import torch

    from training.program import save_program

    segment = torch.from_numpy(np.tile(np.arange(tiny.GROUPS), tiny.POSITIONS))
    weights = torch.from_numpy(np.tile(tiny.SIGNS * np.float32(8 / tiny.POSITIONS), (tiny.POSITIONS, 1)))

    class ServerHalf(torch.nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("segment", segment)
            self.register_buffer("weights", weights)

        def forward(self, indices: object, sizes: object) -> object:
            return ((indices + 0.5) / sizes[:, self.segment] - 0.5) @ self.weights  # type: ignore[index, operator]

    example = torch.zeros(2, tiny.SUB_VECTORS, dtype=torch.int32), torch.ones(2, tiny.GROUPS, dtype=torch.int32)
    program = save_program(ServerHalf(), example)
    values = json.loads((artifact.folder / "manifest.json").read_text())
    for key in ("format_version", "files", "fingerprint"):
        del values[key]
    files = {name: artifact.path(name).read_bytes() for name in (ENCODER, DECODER)} | {TORCH_DECODER: program}
    return write_artifact(folder, values, {name: files[name] for name in (ENCODER, *runtimes)})


def test_an_answer_does_not_depend_on_what_shares_its_batch(any_size: Artifact) -> None:
    batch = some(any_size, some_points(any_size, 24))
    decoder = OnnxDecoder(any_size)
    together = decoder.decode(*batch)
    for i in range(24):
        alone = decoder.decode(*(part[i : i + 1] for part in batch))
        np.testing.assert_allclose(alone[0], together[i], atol=1e-5)
    order = RANDOM.permutation(24)
    np.testing.assert_allclose(decoder.decode(*(part[order] for part in batch)), together[order], atol=1e-5)


@pytest.mark.slow
def test_torch_and_onnx_decode_alike(any_size: Artifact, tmp_path: Path) -> None:
    artifact = with_torch(any_size, tmp_path / "both")
    batch = some(artifact, some_points(artifact, 5))
    np.testing.assert_allclose(
        TorchDecoder(artifact, "cpu").decode(*batch), OnnxDecoder(artifact).decode(*batch), atol=1e-4
    )


def test_on_a_gpu_every_batch_size_decodes_as_on_the_cpu(any_size: Artifact, tmp_path: Path) -> None:
    """In bfloat16, through captured graphs that are called with fewer pictures than they hold, over and over."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip("wants a GPU")
    artifact = with_torch(any_size, tmp_path / "both")
    decoder, reference = TorchDecoder(artifact, "cuda"), OnnxDecoder(artifact)
    for count in (1, 2, 3, 5, 8, 13, 32, 50, 64, 7, 1):
        batch = some(artifact, some_points(artifact, count))
        np.testing.assert_allclose(decoder.decode(*batch), reference.decode(*batch), atol=0.05)


@pytest.mark.slow
def test_the_fastest_decoder_is_one_of_both(
    any_size: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = with_torch(any_size, tmp_path / "both")
    assert trial(OnnxDecoder(artifact), artifact.manifest) > 0
    for fastest in (OnnxDecoder, TorchDecoder):

        def timed(decoder: Decoder, _: object, fastest: type = fastest) -> float:
            return 0.0 if isinstance(decoder, fastest) else 1.0

        monkeypatch.setattr("inference_server.decoder.trial", timed)
        assert isinstance(open_decoder(artifact, 1, "fastest"), fastest)


@pytest.mark.parametrize(
    ("alone_ms", "further_ms", "most", "found"),
    [(1.0, 1.0, 32, 5), (20.0, 0.1, 32, 32), (20.0, 1.0, 32, 5), (1.0, 9.0, 32, 1), (1.0, 1.0, 1, 1), (1.0, 0.0, 8, 8)],
)
def test_a_callers_pictures_make_a_batch_so_much_longer(
    monkeypatch: pytest.MonkeyPatch, any_size: Artifact, alone_ms: float, further_ms: float, most: int, found: int
) -> None:
    now = 0.0

    class Timed:
        device = "test"

        def decode(
            self, indices: np.ndarray, sizes: np.ndarray, points: np.ndarray, questions: np.ndarray | None = None
        ) -> np.ndarray:
            nonlocal now
            now += (alone_ms + (len(indices) - 1) * further_ms) / 1000
            return indices

    monkeypatch.setattr("inference_server.decoder.time.perf_counter", lambda: now)
    assert pictures_within(0.0055, Timed(), any_size.manifest, most) == found


@pytest.mark.slow
def test_the_runtimes_that_the_artifact_has_are_used(any_size: Artifact, tmp_path: Path) -> None:
    assert isinstance(open_decoder(any_size, 1), OnnxDecoder)
    assert isinstance(open_decoder(any_size, 1, "fastest"), OnnxDecoder)
    with pytest.raises(SettingsError, match="has no decoder for torch; it has one for onnx"):
        open_decoder(any_size, 1, "torch")
    assert isinstance(open_decoder(with_torch(any_size, tmp_path / "torch", (TORCH_DECODER,)), 1), TorchDecoder)


def test_a_temperature_makes_answers_less_sure_and_changes_none(any_size: Artifact) -> None:
    batch = some(any_size, np.array([1, 4, 7]))
    rows = tuple(row.model_copy(update={"temperature": 3.0}) for row in any_size.manifest.points)
    warm = Artifact(any_size.folder, any_size.manifest.model_copy(update={"points": rows}))
    before, after = OnnxDecoder(any_size).decode(*batch), OnnxDecoder(warm).decode(*batch)
    assert (before.argmax(1) == after.argmax(1)).all()
    assert (after.max(1) < before.max(1)).all()


def test_picture_files_are_encoded_at_any_point(any_size: Artifact) -> None:
    encoder, file = PictureEncoder(any_size, threads=1), open_picture(png("yellow"))
    for point, row in enumerate(any_size.manifest.points, 1):
        expected = tiny.indices_of(tiny.picture("yellow"), row.sizes)
        assert np.array_equal(encoder.encode(file, point), expected)
    with pytest.raises(PointError, match="Point 8 does not exist"):
        encoder.encode(file, 8)
