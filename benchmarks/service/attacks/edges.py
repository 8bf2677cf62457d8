"""An edge that meets a hostile server: it says why it will not, soon, in little memory; no file of its leaves it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from benchmarks.service.attacks.hostile_server import CHUNK_BYTES, Hostile, Offer, real_offer, serving, values_of
from benchmarks.service.load import PICTURES
from wire.generated import remote_inference_pb2 as pb
from wire.manifest import ENCODER
from wire.manifest_json import fingerprint_of

PICTURE = PICTURES / "dingo.png"
OPSET = [helper.make_opsetid("", 18)]
PATIENCE_S, RETRY_PATIENCE_S = 20.0, 90.0
ADDRESS_SPACE = 8 * 2**30
"""Of an edge: a bomb is stopped before it takes the machine."""
ENDLESS_BYTES = 2 * 2**30
DEPTHS = (500, 900, 100_000)
LAUGHS, DEPTH = 10, 8
"""Calls in a function, and functions one in the other: a hundred million nodes once they are unfolded."""
FOREVER_MS = 2**32 - 1
"""Forty-nine days."""
SAMPLE_S = 0.02


@dataclass
class Met:
    """How it went. sentence: the edge's last word; leaked: bytes of its own file among those that it sent."""

    seconds: float
    memory_mib: float
    exit_code: int | None
    sentence: str
    traceback: bool
    leaked: int = 0
    took_mib: float = 0.0

    @property
    def refused(self) -> bool:
        """Whether the edge ended by itself, with a sentence."""
        return self.exit_code == 1 and self.sentence.startswith("error: ") and not self.traceback


async def external_data(model: Path) -> dict[str, Any]:
    """An encoder whose weights lie in a file of the edge's, by an absolute path: its indices are that file's bytes."""
    with tempfile.TemporaryDirectory() as folder:
        secret = Path(folder) / "secret"
        values = values_of(model)
        count = _sub_vectors(values)
        secret.write_bytes(os.urandom(count))
        tensor = onnx.TensorProto(name="secret", data_type=TensorProto.UINT8, dims=[1, count])
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", str(secret)), ("offset", "0"), ("length", str(count))):
            tensor.external_data.add(key=key, value=value)
        nodes = [helper.make_node("Cast", ["secret"], ["indices"], to=TensorProto.INT32)]
        hostile = Hostile(Offer.of(values, _encoder(values, nodes, [tensor])))
        met = await _classify(hostile)
        met.leaked = sum(a == b for data in hostile.arrived for a, b in zip(data, _packed(secret), strict=False))
    return _figures(met)


def _packed(secret: Path) -> bytes:
    """As a block of indices of 8 bits: plane by plane."""
    bits = np.unpackbits(np.frombuffer(secret.read_bytes(), np.uint8)[:, None], axis=1)
    return np.packbits(bits, axis=0).T.tobytes()


async def loop(model: Path) -> dict[str, Any]:
    """An encoder that goes round for ever."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["going"]),
            helper.make_node("Add", ["sum", "sum"], ["sums"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", TensorProto.INT32, [1]),
        ],
        [
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sums", TensorProto.INT32, [1]),
        ],
    )
    values = values_of(model)
    constants = [
        helper.make_tensor("times", TensorProto.INT64, [], [2**63 - 1]),
        helper.make_tensor("true", TensorProto.BOOL, [], [True]),
        helper.make_tensor("zero", TensorProto.INT32, [1], [0]),
        helper.make_tensor("shape", TensorProto.INT64, [2], [1, _sub_vectors(values)]),
    ]
    nodes = [
        helper.make_node("Loop", ["times", "true", "zero"], ["ended"], body=body),
        helper.make_node("Expand", ["ended", "shape"], ["indices"]),
    ]
    return _figures(await _classify(Hostile(Offer.of(values, _encoder(values, nodes, constants)))))


async def functions(model: Path) -> dict[str, Any]:
    """An encoder of a few functions that call one another: unfolded, a hundred million nodes."""
    values = values_of(model)
    made = []
    for depth in range(DEPTH):
        name, inner = f"f{depth}", f"f{depth - 1}"
        names = ["x", *(f"x{i}" for i in range(1, LAUGHS)), "y"]
        calls = [
            helper.make_node(inner, [a], [b], domain="local") if depth else helper.make_node("Neg", [a], [b])
            for a, b in itertools.pairwise(names)
        ]
        opsets = [*OPSET, helper.make_opsetid("local", 1)]
        made.append(helper.make_function("local", name, ["x"], ["y"], calls, opsets))
    constant = helper.make_tensor("zero", TensorProto.INT32, [1, _sub_vectors(values)], [0] * _sub_vectors(values))
    nodes = [helper.make_node(f"f{DEPTH - 1}", ["zero"], ["indices"], domain="local")]
    encoder = _encoder(values, nodes, [constant], made)
    return _figures(await _classify(Hostile(Offer.of(values, encoder))))


async def endless_file(model: Path) -> dict[str, Any]:
    """An encoder that does not come to its end: of the size that it should have, and of an announced two gigabytes."""
    offer, piece, worst = real_offer(model), bytes(CHUNK_BYTES), list[Met]()
    for announced in (None, ENDLESS_BYTES):
        endless = {
            name: (announced or size, lambda: itertools.repeat(piece, ENDLESS_BYTES // CHUNK_BYTES))
            for name, (size, _) in offer.files.items()
        }
        worst.append(await _classify(Hostile(Offer(offer.fingerprint, offer.manifest, endless))))
    return _figures(_worst(worst))


def _worst(found: list[Met]) -> Met:
    """The one that was not refused, or the one that took longest."""
    return max(found, key=lambda met: (not met.refused, met.seconds))


async def deep_json(model: Path) -> dict[str, Any]:
    """Manifests whose values lie one in the other, deeper than a parser goes."""
    found = []
    for depth in DEPTHS:
        values = json.dumps({**values_of(model), "recipe": {"deep": "DEEP"}, "fingerprint": "0" * 64})
        manifest = values.replace('"DEEP"', "[" * depth + "]" * depth).encode()
        found.append(await _classify(Hostile(Offer("0" * 64, manifest, {}))))
    return _figures(_worst(found))


async def absurd_sizes(model: Path) -> dict[str, Any]:
    """Manifests of more points, of longer names, and of larger pictures and latents than any model has."""
    values = values_of(model)
    named = {**values["task"], "classes": [f"{'x' * 1000}{i}" for i in range(1000)]}
    changes: list[dict[str, Any]] = [
        {"points": values["points"] * 100_000},
        {"points": values["points"] * 5000},
        {"task": named},
        {"name": "x" * 1_000_000},
        {"latent": {"shape": [2**40, 2**40, 2**40], "d": 2**40}},
        {"preprocessing": {**values["preprocessing"], "size": 2**40}},
    ]
    return _figures(_worst([await _classify(Hostile(Offer.of({**values, **some}, b"none"))) for some in changes]))


async def file_names(model: Path) -> dict[str, Any]:
    """A model in a folder, whose manifest names a file that never ends."""
    with tempfile.TemporaryDirectory() as folder:
        values = {**values_of(model), "files": {ENCODER: "0" * 64, "../../../../../../../../dev/zero": "0" * 64}}
        (Path(folder) / "manifest.json").write_text(json.dumps({**values, "fingerprint": fingerprint_of(values)}))
        (Path(folder) / ENCODER).write_bytes((model / ENCODER).read_bytes())
        met = await _run(["serve", "--model", folder, "--port", "0", "--http-port", "0"], Path(folder))
    return _figures(met)


async def endless_retry(model: Path) -> dict[str, Any]:
    """A busy server that asks to be left alone for 49 days: how long until the edge asks again."""
    failure = pb.Failure(code=8, message="busy", retry_after_ms=FOREVER_MS)
    hostile, asked = Hostile(real_offer(model), [failure]), list[float]()
    again = asyncio.Event()

    def note() -> None:
        asked.append(time.monotonic())
        if len(asked) > 1:
            again.set()

    hostile.on_payload = note
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "pictures"
        source.mkdir()
        async with serving(hostile) as address:
            words = ["watch", str(source), "--server", address, "--json"]
            async with _edge(words, Path(folder)) as process:
                for number in range(int(RETRY_PATIENCE_S)):
                    if again.is_set() or process.returncode is not None:
                        break
                    fresh = source / f"{number}.part"
                    fresh.write_bytes(PICTURE.read_bytes())
                    fresh.rename(source / f"{number}.png")
                    with contextlib.suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(again.wait(), 1.0)
                ended = process.returncode
    waited = asked[1] - asked[0] if len(asked) > 1 else 2 * RETRY_PATIENCE_S
    return {"seconds": round(waited, 2), "exit_code": ended}


def _sub_vectors(values: dict[str, Any]) -> int:
    channels, height, width = values["latent"]["shape"]
    return int(channels * height * width // values["latent"]["d"])


def _encoder(
    values: dict[str, Any],
    nodes: list[onnx.NodeProto],
    constants: list[onnx.TensorProto],
    functions: Iterable[onnx.FunctionProto] = (),
) -> bytes:
    side = values["preprocessing"]["size"]
    graph = helper.make_graph(
        nodes,
        "encoder",
        [
            helper.make_tensor_value_info("picture", TensorProto.UINT8, ["batch", side, side, 3]),
            helper.make_tensor_value_info("sizes", TensorProto.INT32, [len(values["segments"])]),
        ],
        [helper.make_tensor_value_info("indices", TensorProto.INT32, None)],
        constants,
    )
    functions = list(functions)
    opsets = [*OPSET, helper.make_opsetid("local", 1)] if functions else OPSET
    model = helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def _figures(met: Met) -> dict[str, Any]:
    return {
        "refused": met.refused,
        "seconds": round(met.seconds, 2),
        "memory_mib": round(met.memory_mib, 1),
        "leaked_bytes": met.leaked,
        "exit_code": met.exit_code,
        "sentence": met.sentence,
        "took_mib": round(met.took_mib, 1),
    }


async def _classify(hostile: Hostile) -> Met:
    with tempfile.TemporaryDirectory() as folder:
        async with serving(hostile) as address:
            words = ["classify", str(PICTURE), "--server", address, "--budget", "5s", "--json"]
            met = await _run(words, Path(folder))
    met.took_mib = hostile.sent_bytes / 2**20
    return met


async def _run(words: list[str], folder: Path) -> Met:
    """`artoveq` until it ends, or until nobody would wait any longer."""
    began, most = time.monotonic(), 0.0
    async with _edge(words, folder) as process:
        assert process.stderr is not None
        reading = asyncio.create_task(process.stderr.read())
        while process.returncode is None and time.monotonic() < began + PATIENCE_S:
            most = max(most, _peak_mib(process.pid))
            await asyncio.sleep(SAMPLE_S)
        seconds, code = time.monotonic() - began, process.returncode
        if code is None:
            process.kill()
        said = (await reading).decode(errors="replace")
    lines = [line for line in said.splitlines() if line.strip()]
    return Met(seconds, most, code, lines[-1] if lines else "", "Traceback" in said)


@asynccontextmanager
async def _edge(words: list[str], folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "artoveq", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "ARTOVEQ_CACHE": str(folder / "cache"), "COLUMNS": "1000"},
    )
    resource.prlimit(process.pid, resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()


def _peak_mib(process: int) -> float:
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0
    found = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")), "0")
    return int(found) / 1024


EDGES = {
    case.__name__: case
    for case in (
        external_data,
        loop,
        functions,
        endless_file,
        deep_json,
        absurd_sizes,
        file_names,
    )
}
