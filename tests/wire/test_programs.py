"""Programs that torch's loader would run code for, and that are not loaded."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import ROOT
from training.program import save_program
from wire.exceptions import ArtifactError
from wire.programs import CONFIGS, MODEL, SAMPLES, clean_program

SHIPPED = sorted((ROOT / "models").glob("*/*.pt2"))
SMALL = {
    "cifar100-vqvae-rate-adaptive/decoder.pt2": 1_800_000,
    "easyvqa64-smollm2/adapters.pt2": 4_150_000,
    "easyvqa64-smollm2/layer.pt2": 97_000,
    "easyvqa64-smollm2/words.pt2": 5_800,
    "imagewoof112-transformer-aligned/decoder.pt2": 7_300_000,
    "imagewoof112-vit-aligned/decoder.pt2": 760_000,
}
"""Bytes that are left at least of those that are not large: weights of a base are in none of them."""
Members = dict[str, bytes]
WEIGHTS, CONSTANTS = CONFIGS


class Small(torch.nn.Module):
    """Weights, a buffer, and a size that is not fixed."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)
        self.register_buffer("offset", torch.arange(3.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.gelu(self.linear(x) + self.offset, approximate="tanh").reshape(-1, 3)


class Pickled:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self._marker = str(marker)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self._marker,)


@pytest.fixture(scope="module")
def program() -> bytes:
    return save_program(Small().eval(), (torch.zeros(2, 4),))


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A folder that only code from a program makes."""
    return tmp_path / "ran"


def unpacked(program: bytes) -> Members:
    with zipfile.ZipFile(io.BytesIO(program)) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def packed(members: Members, compression: int = zipfile.ZIP_STORED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"archive/{name}", content)
    return data.getvalue()


def changed(program: bytes, change: Callable[[Any], object], member: str = MODEL) -> bytes:
    members = unpacked(program)
    values = json.loads(members[member])
    change(values)
    return packed({**members, member: json.dumps(values).encode()})


def graph(values: Any) -> Any:
    return values["graph_module"]["graph"]


def test_a_program_does_what_it_did(program: bytes) -> None:
    assert clean_program(program, "It") == program
    module, x = torch.export.load(io.BytesIO(program)).module(), torch.randn(5, 4)
    assert module(x).shape == (5, 3) and str(ROOT).encode() not in program


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_what_we_ship_is_loaded(path: Path) -> None:
    data = path.read_bytes()
    least = SMALL.get(f"{path.parent.name}/{path.name}", 9_000_000)
    assert len(clean_program(data, path.name)) > max(least, 0.98 * len(data))


PICKLES: list[Callable[[bytes], Members]] = [
    lambda code: {SAMPLES: code},
    lambda code: {"data/weights/model.pt": code},
    lambda code: {"data/constants/model.pt": code},
    lambda code: {"data/constants/custom_obj_0": code},
    lambda code: {"data/constants/opaque_obj_0": code},
    lambda code: {"data/aotinductor/model/model.so": code},
    lambda code: {"models/other.json": code},
    lambda code: {"extra/note": code},
    lambda code: {"../weights_0": code},
    lambda code: {"serialized_example_inputs.pt": code},
]


@pytest.mark.parametrize("members", PICKLES)
def test_members_that_are_code(program: bytes, marker: Path, members: Callable[[bytes], Members]) -> None:
    data = packed({**unpacked(program), **members(pickle.dumps((Pickled(marker),)))})
    with pytest.raises(ArtifactError, match=r"It is not loaded: it has .*(which may hold code|at most)\. Export"):
        clean_program(data, "It")
    assert not marker.exists()


def pickled_weights(config: Any) -> None:
    for one in config["config"].values():
        one["use_pickle"] = True


def test_values_that_are_pickled(program: bytes) -> None:
    with pytest.raises(ArtifactError, match="has values that are pickled"):
        clean_program(changed(program, pickled_weights, WEIGHTS), "It")


def texts(code: str) -> list[Callable[[Any], object]]:
    """Where torch evaluates text, or writes it into Python that it runs."""

    def sizes(values: Any) -> None:
        graph(values)["tensor_values"]["x"]["sizes"][0]["as_expr"]["expr_str"] = code

    def first(values: Any, **changes: Any) -> None:
        graph(values)["nodes"][0].update(changes)

    def signature(values: Any) -> Any:
        return values["graph_module"]["module_call_graph"][0]["signature"]

    enum = {"__enum__": True, "fqn": "antigravity:x", "name": "y"}
    spec = {"type": "builtins.dict", "context": json.dumps(enum), "children_spec": []}
    return [
        sizes,
        lambda values: first(values, name=f"x; {code}"),
        lambda values: graph(values)["inputs"][0]["as_tensor"].update(name=f"x):\n  {code}\n  (x"),
        lambda values: first(values, target="torch.os.mkdir"),
        lambda values: first(values, target="torch.hub.load"),
        lambda values: first(values, target="torch.ops.aten.from_file.default"),
        lambda values: first(values, target="torch.ops.aten.save.default"),
        lambda values: first(values, target="torch.ops.aten.add.op"),
        lambda values: first(values, target="torch.ops.aten.__class__.mro"),
        lambda values: first(values, target="torch.ops.higher_order.cond"),
        lambda values: first(values, target="_operator.attrgetter"),
        lambda values: first(values, target="math.factorial"),
        lambda values: first(values, target="#own:op"),
        lambda values: graph(values)["nodes"][0]["inputs"].append({"name": "f", "arg": {"as_string": "/etc/passwd"}}),
        lambda values: graph(values)["nodes"][0]["inputs"].append({"name": "f", "arg": {"as_operator": "torch.x"}}),
        lambda values: signature(values).update(in_spec=json.dumps([1, spec])),
        lambda values: signature(values).update(forward_arg_names=["x=print(1)"]),
        lambda values: values.update(verifiers=["x.y"]),
        lambda values: values.update(something_new=code),
    ]


@pytest.mark.parametrize("number", range(19))
def test_texts_that_are_code(program: bytes, marker: Path, number: int) -> None:
    change = texts(f"__import__('os').mkdir({str(marker)!r})")[number]
    with pytest.raises(ArtifactError, match=r"has the text .* under .*, which may be code") as error:
        clean_program(changed(program, change), "It")
    assert str(error.value).isprintable() and not marker.exists()


def test_guards_are_left_out(program: bytes) -> None:
    guarded = changed(program, lambda values: values.update(guards_code=["__import__('os').mkdir('x')"]))
    assert clean_program(guarded, "It") == program


@pytest.mark.parametrize(
    "text", ["9**9", "Mul(s1, x)", "s1.x", "Integer(9999999999999)", "Symbol('os')", "lambda: 1", "Add(" * 300]
)
def test_expressions_that_are_more_than_sizes(program: bytes, text: str) -> None:
    with pytest.raises(ArtifactError, match="which may be code"):
        clean_program(changed(program, lambda values: values.update(expr_str=text)), "It")


@pytest.mark.parametrize("text", ["Symbol('s37', positive=True, integer=True)", "Mul(Integer(512), s1)", "2*s0 + 1"])
def test_expressions_of_sizes(program: bytes, text: str) -> None:
    clean_program(changed(program, lambda values: values.update(expr_str=text)), "It")


def test_archives_that_are_none(program: bytes) -> None:
    members = unpacked(program)
    weight = next(name for name in members if name.startswith("data/weights/weight_"))
    for data, said in (
        (b"", "is not a torch.export program"),
        (program[:-30], "is not a torch.export program"),
        (packed({name: data for name, data in members.items() if name != MODEL}), "is not a torch.export program"),
        (packed({**members, MODEL: b"[" * 100_000}), "is not a torch.export program"),
        (packed({**members, WEIGHTS: b"{}"}), "is not a torch.export program"),
        (packed({**members, weight: b""}), "has values of no bytes"),
        (packed({**members, "byteorder": bytes(65)}), "has 65 bytes of byteorder, where there are 64 at most"),
        (packed(members, zipfile.ZIP_DEFLATED), "is compressed|unpacks to more than it is"),
        (packed({**members, weight: bytes(1 << 24)}, zipfile.ZIP_DEFLATED), "unpacks to more than it is"),
        (changed(program, lambda values: values["range_constraints"].update(u999999999={})), "has the size 'u9999"),
    ):
        with pytest.raises(ArtifactError, match=said):
            clean_program(data, "It")
