"""A small language model, written as a GGUF file in an installed package: its tokens are bytes, its weights random."""

from __future__ import annotations

import hashlib
from pathlib import Path

import gguf
import numpy as np
import pytest
from tokenizers.pre_tokenizers import ByteLevel

from training.language.recipe import LANGUAGE_MODELS
from wire import base as wire_base
from wire.language import tensors_of
from wire.manifest import Base

WIDTH, HIDDEN, LAYERS = 36, 48, 2
STEERING, MERGES = ["<unknown>", "<start>", "<end>"], ["i s", "Ġ is", "r e"]


def install_language_model(folder: Path, patch: pytest.MonkeyPatch) -> Base:
    """The package tiny-language, which recipes name "tiny"."""
    info, file = folder / "tiny_language-1.0.dist-info", folder / "tiny_language" / "tiny.gguf"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-language\nVersion: 1.0\n")
    file.parent.mkdir()
    write_gguf(file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    base = Base(package="tiny-language", version="1.0", file="tiny_language/tiny.gguf", sha256=digest)
    patch.syspath_prepend(str(folder))
    patch.setitem(wire_base.READERS, base, tensors_of)
    patch.setitem(LANGUAGE_MODELS, "tiny", base)
    return base


def write_gguf(file: Path) -> None:
    """With the tensors of `LanguageModel`, by their names."""
    tokens = [*STEERING, *sorted(ByteLevel.alphabet()), *(merge.replace(" ", "") for merge in MERGES)]
    random, few = np.random.default_rng(0), WIDTH // 3
    shapes = {"token_embd": (len(tokens), WIDTH), "output_norm": (WIDTH,)}
    for layer in range(LAYERS):
        of = {
            "attn_norm": (WIDTH,), "ffn_norm": (WIDTH,), "attn_q": (WIDTH, WIDTH), "attn_output": (WIDTH, WIDTH),
            "attn_k": (few, WIDTH), "attn_v": (few, WIDTH), "ffn_gate": (HIDDEN, WIDTH), "ffn_up": (HIDDEN, WIDTH),
            "ffn_down": (WIDTH, HIDDEN),
        }  # fmt: skip
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in of.items()}
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    for name, shape in shapes.items():
        values = random.normal(0, shape[-1] ** -0.5, shape) if len(shape) > 1 else np.ones(shape)
        writer.add_tensor(f"{name}.weight", values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
