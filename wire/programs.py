"""torch.export programs (.pt2) that a stranger may have made: what they may hold is listed, all else is refused.

torch's loader trusts its file: it unpickles some members, loads others as machine code, and of the JSON it evaluates
expressions and guards, generates Python with the names in it, and calls whatever function of torch a node names. So
the archive is written anew, with members that are numbers or JSON, and with text in the JSON only where it has a known
form.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from wire.exceptions import ArtifactError

JSON_BYTES = 1 << 26
"""Largest description of a program."""
MODEL, SAMPLES = "models/model.json", "data/sample_inputs/model.pt"
CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
VALUES = re.compile(r"data/(weights/weight|constants/tensor)_[0-9]+")
NOTES = ("archive_format", "archive_version", "byteorder", ".data/version", ".data/serialization_id")
NOTE_BYTES = 64

EXPRESSION_WORDS = frozenset(
    ("Symbol", "Integer", "Add", "Mul", "FloorDiv", "Mod", "Max", "Min", "positive", "nonnegative", "integer", "True")
)
EXPRESSION_SIGNS = frozenset("'(),=+-*/ ")
LONGEST_EXPRESSION = 1000
OPERATORS = r"_operator\.(add|sub|mul|neg|floordiv|mod|eq|ne|lt|le|gt|ge)"
MODES = "none tanh floor trunc sum mean constant reflect replicate circular nearest bilinear bicubic ij xy same valid"


def _like(pattern: str) -> Callable[[str], object]:
    return re.compile(pattern, re.ASCII).fullmatch


def _is_expression(text: str) -> bool:
    """Whether it is sums and products of sizes and numbers: it is evaluated as Python."""
    words = set(re.findall(r"\w+", text))
    known = {word for word in words if word in EXPRESSION_WORDS or re.fullmatch(r"s?[0-9]{1,12}", word)}
    signs = set(re.sub(r"\w+", "", text))
    return len(text) <= LONGEST_EXPRESSION and words == known and signs <= EXPRESSION_SIGNS and "**" not in text


TEXTS: dict[str, Callable[[str], object]] = {
    **dict.fromkeys(("name", "as_name", "forward_arg_names"), _like(r"\w*")),
    **dict.fromkeys(("fqn", "parameter_name", "buffer_name", "tensor_constant_name"), _like(r"[\w.]*")),
    "path_name": _like(r"(weight|tensor)_\d+"),
    # Operators on tensors, by a name and an overload; two of them open files.
    "target": _like(
        rf"{OPERATORS}|torch\.ops\.aten\.(?!(from_file|save)\.)_?[a-z]\w*\.(?!(op|overloads|op_overloads)$)[A-Za-z]\w*"
    ),
    "as_string": _like(rf"{MODES.replace(' ', '|')}|[a-zA-Z, ]+->[a-zA-Z]*"),
    "as_float": _like("-?Infinity|NaN"),
    "type": _like("cpu"),
    "expr_str": _is_expression,
    **dict.fromkeys(
        ("in_spec", "out_spec"),
        _like(
            r'\[1, ([][{}, ]|"type": (null|"builtins\.(tuple|list|dict)")|"context": (null|"null"|"\[\]")'
            r'|"children_spec": )*\]'
        ),
    ),
    "verifiers": _like("[A-Z_]*"),
    "torch_version": _like(r"[\w.+]*"),
}
"""Where a program may have text, by the key that it stands under, and of which form."""


def clean_program(data: bytes, where: str) -> bytes:
    """The program, written anew, without what only its maker's debugger wants; `where` names it in errors.

    Raises:
        ArtifactError: if it is none, or holds what could run code, read a file, or take memory without end.
    """
    try:
        return _written(dict(_members(data)))
    except _Refused as fault:
        why = str(fault)
    except (zipfile.BadZipFile, ValueError, KeyError, TypeError, NotImplementedError, RecursionError, EOFError):
        why = "is not a torch.export program"
    raise ArtifactError(f"{where} is not loaded: it {why}. Export the model again, or do without this decoder.")


class _Refused(Exception):
    """Why; the end of a sentence."""


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The members without the folder that they lie in, by name."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        if sum(info.file_size for info in infos) > len(data):
            raise _Refused("unpacks to more than it is")
        for info in infos:
            name = info.filename.partition("/")[2]
            if info.compress_type != zipfile.ZIP_STORED:
                raise _Refused("is compressed")
            if name in (MODEL, *CONFIGS):
                limit = JSON_BYTES
            elif VALUES.fullmatch(name):
                limit = len(data)
            elif name == SAMPLES:
                limit = 0  # a pickle
            elif name in NOTES:
                limit = NOTE_BYTES
            else:
                raise _Refused(f"has the member {ascii(name)[:80]}, which may hold code")
            if info.file_size > limit:
                raise _Refused(f"has {info.file_size:,} bytes of {name}, where there are {limit:,} at most")
            yield name, archive.read(info)


def _written(members: dict[str, bytes]) -> bytes:
    model = json.loads(members[MODEL])
    for node in model["graph_module"]["graph"]["nodes"]:
        node["metadata"] = {}  # the exporting machine's stack traces
    model["guards_code"] = []  # Python that checks the shapes of inputs; ours have those of the manifest
    for symbol in model["range_constraints"]:
        if not re.fullmatch("s[0-9]{1,6}", symbol):
            raise _Refused(f"has the size {ascii(symbol)[:40]}, which no input has")
    _check_texts(model)
    members[MODEL] = json.dumps(model).encode()
    for name in CONFIGS:
        config = json.loads(members[name])
        _check_texts(config)
        for one in config["config"].values():
            if not members[f"{name.rpartition('/')[0]}/{one['path_name']}"]:
                raise _Refused("has values of no bytes, which would be made up")
        members[name] = json.dumps(config).encode()
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), content)  # of no date
    return data.getvalue()


def _check_texts(value: Any, key: str = "") -> None:
    """Raises _Refused where there is a text that is not of the form that belongs to its key, or a pickle is named."""
    if isinstance(value, dict):
        for inner, one in value.items():
            _check_texts(one, inner)
    elif isinstance(value, list):
        for one in value:
            _check_texts(one, key)
    elif isinstance(value, str):
        if key not in TEXTS or not TEXTS[key](value):
            raise _Refused(f"has the text {ascii(value)[:80]} under {ascii(key)[:40]}, which may be code")
    elif key == "use_pickle" and value:
        raise _Refused("has values that are pickled")
