"""proto/vectors: what a client in another language must compute. `python -m tests.wire.test_vectors` writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.wire.manifests import chained, manifest_of, values_of
from wire.entropy import EntropyCoder
from wire.folded import FoldedCoder
from wire.manifest import Manifest
from wire.manifest_json import parse_manifest
from wire.payload import PayloadCodec

VECTORS = Path(__file__).parent.parent.parent / "proto" / "vectors"
CASES: dict[str, Manifest] = {
    "one size, a power of two": manifest_of([2], [[8]], positions=5),
    "mixed sizes, powers of two, nothing sent of segment 1": manifest_of([1, 1, 2], [[16, 1, 2]], positions=3),
    "one size, no power of two": manifest_of([2], [[5]], positions=6, any_size=True),
    "mixed sizes up to 1000": manifest_of([1, 1, 1], [[1000, 1, 7]], positions=4, any_size=True, largest=1024),
}
CHAIN = [[0], [0], [1], [0], [1], [1]]


def tables(count: int) -> np.ndarray:
    """Entropy tables (count, 2, 255): T[t][g][n] = 1000 + (7919 · (t + 2 · g + 5 · n)) mod 64000."""
    t, g, n = np.ogrid[:count, :2, :255]
    return (1000 + 7919 * (t + 2 * g + 5 * n) % 64000).astype(np.uint16)


def drawn(codec: PayloadCodec, point: int, probabilities: np.ndarray) -> np.ndarray:
    """Indices whose bits are as likely as the tables say, so that their string is short."""
    random, indices, bits = np.random.default_rng(9), [], int(codec.depths[point - 1].max())
    for m in range(codec.manifest.sub_vectors):
        index = 0
        for p in range(bits):
            index = 2 * index + int(random.random() < probabilities[m % 2, 2**p - 1 + index] / 65536)
        indices.append(index)
    return np.array(indices, np.int32)


def payloads() -> list[dict[str, Any]]:
    """Blocks and runs, packed and coded."""
    found = []
    for name, manifest in CASES.items():
        codec = PayloadCodec(manifest)
        indices = np.random.default_rng(len(found)).integers(0, codec.sub_vector_sizes(1), dtype=np.int32)
        found.append({**_layout(name, manifest), "sizes": list(manifest.point(1).sizes), "indices": indices.tolist()})
        found[-1]["packed"] = codec.write_block(indices, 1)[0].hex()
    refinable, single = (
        chained([1, 1], CHAIN, positions=40, coded=True),
        manifest_of([2], [[16]], positions=40, coded=True),
    )
    for name, manifest, count in (("refinable", refinable, 1), ("not refinable", single, 8)):
        codec = PayloadCodec(manifest, EntropyCoder(tables(count), manifest.sub_vectors))
        point = len(manifest.points)
        indices = drawn(codec, point, tables(count)[0 if manifest.refinable else 3])
        coded, packed = codec.write_block(indices, point)
        one = {**_layout(f"{name}, entropy-coded", manifest), "sizes": list(manifest.point(point).sizes)}
        one |= {"tables": "T[t][g][n] = 1000 + (7919 * (t + 2 * g + 5 * n)) % 64000", "indices": indices.tolist()}
        one |= {
            "coded": None if packed else coded.hex(),
            "packed": PayloadCodec(manifest).write_block(indices, point)[0].hex(),
        }
        if manifest.refinable:
            plain = PayloadCodec(manifest)
            one["planes"], one["runs"] = CHAIN, []
            for n, c in ((1, 1), (2, 2), (4, 3), (1, 6)):
                data, packed = codec.write_run(indices, n, c)
                one["runs"].append({"first_plane": n, "plane_count": c})
                one["runs"][-1] |= {"packed": plain.write_run(indices, n, c)[0].hex()}
                one["runs"][-1] |= {"coded": None if packed else data.hex()}
        found.append(one)
    return found


def folded_payload() -> dict[str, Any]:
    """A block of any sizes, packed and coded."""
    manifest = manifest_of([1, 1, 1], [[9, 1, 5]], positions=40, coded=True, any_size=True, largest=12)
    k = np.arange(12)
    counts, rows = 1 + 400 // (1 + k * k), np.stack([77 * k % 60, 35 * k % 100], 1)  # of every group
    codec = PayloadCodec(manifest, FoldedCoder(np.stack([rows] * 3).astype(np.uint16), np.stack([counts] * 3)))
    indices = (np.random.default_rng(9).random(120) ** 4 * codec.sub_vector_sizes(1)).astype(np.int32)
    coded, packed = codec.write_block(indices, 1)
    assert not packed
    return {
        **_layout("any size, entropy-coded", manifest), "sizes": list(manifest.point(1).sizes),
        "d": 2, "largest_size": 12, "counts": counts.tolist(), "rows": rows.tolist(), "indices": indices.tolist(),
        "coded": coded.hex(), "packed": PayloadCodec(manifest).write_block(indices, 1)[0].hex(),
    }  # fmt: skip


def _layout(name: str, manifest: Manifest) -> dict[str, Any]:
    return {"name": name, "segments": list(manifest.segments), "positions": manifest.latent.positions}


def manifest() -> dict[str, Any]:
    """A manifest with its fingerprint."""
    return values_of([1, 1], [[2, 1], [2, 2], [4, 2]], positions=8, chain=[[0], [1], [0]])


def test_payloads_are_as_they_were() -> None:
    assert json.loads((VECTORS / "payloads.json").read_text()) == payloads()
    assert json.loads((VECTORS / "folded.json").read_text()) == folded_payload()


def test_the_manifest_has_the_fingerprint_that_it_had() -> None:
    text = (VECTORS / "manifest.json").read_text()
    assert json.loads(text) == manifest()
    parse_manifest(text, "the vector")


if __name__ == "__main__":
    VECTORS.mkdir(exist_ok=True)
    for file, content in (("payloads", payloads()), ("folded", folded_payload()), ("manifest", manifest())):
        (VECTORS / f"{file}.json").write_text(json.dumps(content, indent=1) + "\n")
