"""An artifact of format version 1, as its exporter wrote it: one level for all, indices of 8 bits."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from training.codebooks.nested import NestedCodebook
from training.codebooks.ops import distances, from_sub_vectors, lookup, to_sub_vectors
from training.model import RateModel
from training.program import BATCH, save_onnx, save_program


class OldEdgeHalf(nn.Module):
    def __init__(self, model: RateModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, picture: Tensor, level: Tensor) -> Tensor:
        model, codebook = self.model, self.model.codebook
        latent = model.network.encode(picture.permute(0, 3, 1, 2).to(torch.float32) / 255)
        x, top = to_sub_vectors(latent, model.recipe.codebook.d), codebook.largest.bit_length() - 1
        if isinstance(codebook, NestedCodebook):
            absent = torch.arange(2**top) >= torch.tensor([2**l for l in range(top + 1)])[level]
            index = distances(x, codebook.codewords).masked_fill(absent, torch.inf).argmin(-1)
        else:
            whole = codebook.encode(x, torch.full((x.shape[1],), codebook.largest))
            index = whole // torch.tensor([2 ** (top - l) for l in range(top + 1)])[level]
        return index.reshape(picture.shape[0], -1).to(torch.uint8)


class OldServerHalf(nn.Module):
    table: Tensor
    starts: Tensor

    def __init__(self, model: RateModel) -> None:
        super().__init__()
        self.network, top = model.network, model.codebook.largest.bit_length()
        self.groups = self.network.latent_shape[0] // model.recipe.codebook.d
        refinable = model.codebook.refinable
        self.register_buffer("table", model.codebook.table()[0][:, 1:].detach().clone())
        self.register_buffer("starts", torch.tensor([max(0, 2**l - 2) if refinable else 0 for l in range(top)]))

    def forward(self, indices: Tensor, levels: Tensor) -> Tensor:
        positions = indices.shape[1] // self.groups
        index, level = indices.to(torch.int64).reshape(-1, self.groups), levels.repeat_interleave(positions)
        vectors = lookup(self.table, self.starts, index, level[:, None])
        return self.network.decode(from_sub_vectors(vectors, self.network.latent_shape))


def write_version_1(model: RateModel, folder: Path) -> None:
    """The files that a conversion reads."""
    edge, server, side = OldEdgeHalf(model).eval(), OldServerHalf(model).eval(), model.recipe.picture
    c, h, w = model.network.latent_shape
    m, top = model.sub_vectors, model.codebook.largest.bit_length() - 1
    received = (torch.zeros(2, m, dtype=torch.uint8), torch.tensor([top, top]))
    picture = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    folder.mkdir()
    encoder = save_onnx(edge, (picture, torch.tensor(top)), ["picture", "level"], "indices", (BATCH, None))
    decoder = save_onnx(server, received, ["indices", "levels"], "logits", (BATCH, BATCH))
    (folder / "encoder.onnx").write_bytes(encoder)
    (folder / "decoder.onnx").write_bytes(decoder)
    (folder / "decoder.pt2").write_bytes(save_program(server, received))
    values = {
        "format_version": 1, "name": "old", "profile": "compact", "family": model.recipe.codebook.family,
        "prefix_consistent": model.codebook.refinable, "dataset": "none", "d": model.recipe.codebook.d,
        "sub_vectors": m, "max_level": top, "latent_shape": [c, h, w], "classes": ["a", "b"],
        "preprocessing": {"size": side}, "unquantised_top1": 0.9, "codec": [], "files": {},
        "levels": [
            {"level": l, "payload_bytes": l * m / 8, "top1": 0.5, "temperature": 1.0 + l / 10}
            for l in range(1, top + 1)
        ],
        "recipe": model.recipe.model_dump(mode="json"),
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(values))
