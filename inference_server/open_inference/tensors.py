"""Tensors as the protocol carries them: numbers little-endian, row after row; of BYTES each behind its length."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wire.exceptions import ProtocolError
from wire.shown import shown

BYTES = "BYTES"
TYPES: dict[str, Any] = {"INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "UINT8": "<u1", "UINT16": "<u2",
                         "UINT32": "<u4", "UINT64": "<u8", "FP32": "<f4"}  # fmt: skip
MOST_AXES = 8


class TensorError(ProtocolError):
    """A tensor that is not what its request says, or not what the model takes."""


@dataclass(frozen=True)
class Tensor:
    """values: an array of this shape, or of BYTES a list."""

    name: str
    values: NDArray[Any] | list[bytes]

    @property
    def datatype(self) -> str:
        """The protocol's name for it."""
        if isinstance(self.values, list):
            return BYTES
        return next(name for name, kind in TYPES.items() if np.dtype(kind) == self.values.dtype)

    @property
    def shape(self) -> list[int]:
        """Of BYTES, how many."""
        return [len(self.values)] if isinstance(self.values, list) else list(self.values.shape)


def from_raw(name: str, datatype: str, shape: Sequence[int], data: bytes) -> Tensor:
    """Raises TensorError if the data are not of this shape."""
    count = _count(name, datatype, shape)
    if datatype == BYTES:
        return Tensor(name, _elements(name, count, data))
    if len(data) != count * np.dtype(TYPES[datatype]).itemsize:
        raise TensorError(f"{_named(name)} has {len(data):,} bytes, not those of {datatype} {list(shape)}.")
    return Tensor(name, np.frombuffer(data, TYPES[datatype]).reshape(tuple(shape)))


def from_values(name: str, datatype: str, shape: Sequence[int], values: Sequence[Any]) -> Tensor:
    """Of numbers, or of bytes; of JSON's strings as base64.

    Raises:
        TensorError: if they are not of this type and shape.
    """
    count = _count(name, datatype, shape)
    if len(values) != count:
        raise TensorError(f"{_named(name)} has {len(values):,} values, not those of the shape {list(shape)}.")
    if datatype == BYTES:
        return Tensor(name, [_element(name, value) for value in values])
    whole = datatype != "FP32"
    if not all(isinstance(one, int if whole else (int, float)) and not isinstance(one, bool) for one in values):
        raise TensorError(f"{_named(name)} holds what is no {'whole number' if whole else 'number'}.")
    try:
        return Tensor(name, np.array(values, TYPES[datatype]).reshape(tuple(shape)))
    except OverflowError:
        raise TensorError(f"{_named(name)} holds numbers that are too large for {datatype}.") from None


def to_raw(tensor: Tensor) -> bytes:
    """Inverse of `from_raw`."""
    if isinstance(tensor.values, list):
        return b"".join(struct.pack("<I", len(value)) + value for value in tensor.values)
    return tensor.values.astype(TYPES[tensor.datatype]).tobytes()


def _count(name: str, datatype: str, shape: Sequence[int]) -> int:
    if datatype not in TYPES and datatype != BYTES:
        raise TensorError(
            f"{_named(name)} is of the type {shown(datatype, 20)!r}; known: {', '.join((*TYPES, BYTES))}."
        )
    if len(shape) > MOST_AXES or any(not isinstance(one, int) or one < 0 for one in shape):
        raise TensorError(f"{_named(name)} has no shape that a tensor can have.")
    return prod(shape)


def _elements(name: str, count: int, data: bytes) -> list[bytes]:
    found, start = list[bytes](), 0
    while start < len(data) and len(found) <= count:
        end = start + 4 + int.from_bytes(data[start : start + 4], "little")
        if end > len(data) or start + 4 > len(data):
            raise TensorError(f"{_named(name)} is cut short: an element is longer than the bytes that are there.")
        found.append(data[start + 4 : end])
        start = end
    if len(found) != count:
        raise TensorError(f"{_named(name)} has {len(found)} elements or more, not {count}.")
    return found


def _element(name: str, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise TensorError(f"{_named(name)} holds what is no base64; JSON carries BYTES so.") from None


def _named(name: str) -> str:
    return f"The input {shown(name, 40)!r}"
