"""An artifact with codebooks of further sizes, regrouped from its largest: the network stays as it is.

picture ─ encoder ─ sub-vectors ─ the nearest of a codebook of any size ─▶ indices
indices, sizes ─ look-up in the new table ─ sub-vectors ─ decoder ─▶ output
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import Tensor, nn

from training.chain import unmeasured_point
from training.codebooks.ops import Dequantiser, nearest, segment_of_group
from training.program import BATCH, save_onnx, save_program
from training.regrouping import dkm, ikm
from training.splice import (
    SplicedDecoder,
    at_quantiser,
    before_quantiser,
    branch_of,
    branched,
    joined,
    program_behind_quantiser,
)
from wire.artifact import Artifact
from wire.exceptions import UsageError
from wire.manifest import DECODER, ENCODER, LOCAL_LOGITS, TORCH_DECODER, Manifest

LARGEST = 1024
"""Codewords that IKM makes at most."""
Sizes = tuple[int, ...]


class Regrouped:
    """Codebooks of some sizes; at any other the next smaller one of them stands in.

    codebooks: size K to codewords (G, K, d), 1 among them.
    """

    def __init__(self, codebooks: Mapping[int, Tensor]) -> None:
        known = sorted(codebooks)
        self.table = torch.cat([codebooks[size] for size in known], 1)
        begins = dict(zip(known, np.cumsum([0, *known[:-1]]).tolist(), strict=True))
        below = [max((k for k in known if k <= size), default=1) for size in range(known[-1] + 1)]
        self.starts = torch.tensor([begins[size] for size in below])
        self.counts = torch.tensor(below)


class NearestOf(nn.Module):
    """Sub-vectors (N, G, d) and sizes int32 (S,) to indices int32 (B, M)."""

    table: Tensor
    starts: Tensor
    counts: Tensor
    segment: Tensor

    def __init__(self, books: Regrouped, manifest: Manifest) -> None:
        super().__init__()
        for name in ("table", "starts", "counts"):
            self.register_buffer(name, getattr(books, name))
        self.register_buffer("segment", segment_of_group(manifest.segments))
        self.sub_vectors, self.largest = manifest.sub_vectors, len(books.starts) - 1

    def forward(self, vectors: Tensor, sizes: Tensor) -> Tensor:
        of_group, row = sizes.to(torch.int64)[self.segment], torch.arange(self.largest)
        rows = (self.starts[of_group][:, None] + row).clamp(max=self.table.shape[1] - 1)
        codewords = self.table.gather(1, rows[..., None].expand(-1, -1, self.table.shape[2]))
        index = nearest(vectors, codewords, self.counts[of_group])
        return index.reshape(-1, self.sub_vectors).to(torch.int32)


def check_adaptable(manifest: Manifest) -> None:
    """Raises UsageError where there is nothing to adapt, or planes would be lost."""
    if manifest.any_size:
        raise UsageError(f"{manifest.name} takes any size already; measure some with `artoveq evaluate --sizes`.")
    if manifest.refinable:
        raise UsageError(
            f"{manifest.name} is refinable, and its planes would be lost with regrouped codewords; take a nested one."
        )


def codewords(artifact: Artifact, size: int) -> Tensor:
    """Those that the artifact's decoder has at this size, (G, size, d)."""
    graph, _, name = at_quantiser(artifact.read(DECODER))
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    manifest = artifact.manifest
    indices = np.repeat(np.arange(size, dtype=np.int32)[:, None], manifest.sub_vectors, 1)
    sizes = np.full((size, len(manifest.segments)), size, np.int32)
    (found,) = session.run([name], {"indices": indices, "sizes": sizes})
    return torch.from_numpy(found).reshape(size, -1, manifest.latent.groups, manifest.latent.d)[:, 0].transpose(0, 1)


def regrouped(artifact: Artifact, used: Tensor, sizes: Iterable[int]) -> Regrouped:
    """The artifact's own codebooks, and those of further sizes: by DKM where smaller than the largest, else by IKM.

    used: how often each codeword of the largest is chosen, (G, L).

    Raises:
        UsageError: if that is too small for IKM.
    """
    own = {1, *(size for point in artifact.manifest.points for size in point.sizes)}
    base = codewords(artifact, artifact.manifest.largest_size).contiguous()
    found = {size: codewords(artifact, size) for size in sorted(own)}
    for size in sorted(set(sizes) - own):
        found[size] = dkm(base, used, size) if size < base.shape[1] else ikm(base, used, size)
    return Regrouped(found)


def adapted(artifact: Artifact, books: Regrouped, points: Iterable[Sizes]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest's values, with these points beside its own, and the files: what `write_artifact` takes."""
    manifest = artifact.manifest
    segments, largest = len(manifest.segments), len(books.starts) - 1
    sizes = torch.full((segments,), largest, dtype=torch.int32)
    received = (torch.zeros(2, manifest.sub_vectors, dtype=torch.int32), sizes.expand(2, -1).clone())
    dequantiser = Dequantiser(books.table, books.starts, manifest.segments)
    files = {ENCODER: _encoder(artifact, books, sizes), DECODER: _decoder(artifact, dequantiser, received)}
    if TORCH_DECODER in manifest.files:
        old = torch.export.load(io.BytesIO(artifact.read(TORCH_DECODER)))
        spliced = SplicedDecoder(dequantiser, program_behind_quantiser(old)).eval()
        files[TORCH_DECODER] = save_program(spliced, received)
    values = manifest.model_dump(mode="json", exclude={"format_version", "files", "fingerprint"})
    every = {point.sizes for point in manifest.points} | set(points)
    unmeasured = [unmeasured_point(manifest.sub_vectors_of_segments, one) for one in sorted(every)]
    unmeasured.sort(key=lambda point: point["payload_bytes"])
    return {**values, "any_size": True, "largest_size": largest, "points": unmeasured}, files


def _encoder(artifact: Artifact, books: Regrouped, sizes: Tensor) -> bytes:
    encoder = artifact.read(ENCODER)
    head, name = before_quantiser(encoder)
    latent = artifact.manifest.latent
    vectors = torch.zeros(2 * latent.positions, latent.groups, latent.d)
    axes = ({0: latent.positions * torch.export.Dim("batch")}, None)
    tail = save_onnx(NearestOf(books, artifact.manifest), (vectors, sizes), ["vectors", "sizes"], "indices", axes)
    adapted = joined(head, onnx.load_from_string(tail), (name, "vectors"))
    return adapted if artifact.manifest.local_head is None else branched(adapted, branch_of(encoder, LOCAL_LOGITS))


def _decoder(artifact: Artifact, dequantiser: Dequantiser, received: tuple[Tensor, Tensor]) -> bytes:
    _, behind, name = at_quantiser(artifact.read(DECODER))
    head = save_onnx(dequantiser, received, ["indices", "sizes"], "vectors", (BATCH, BATCH))
    return joined(onnx.load_from_string(head), behind, ("vectors", name))
