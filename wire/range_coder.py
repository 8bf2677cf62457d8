"""The range coder: constriction's (Bamler 2022), 32-bit words, 64-bit state, models of 24 bits.

Where it is not installed nothing is coded, and payloads travel packed (`wire.payload`), which every server reads.
"""

from __future__ import annotations

import importlib.util
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from wire.exceptions import ProtocolError

Integers = NDArray[np.integer]
WORD = 4
"""Bytes of one; strings are whole words, little-endian."""


def available() -> bool:
    """Whether this machine has the coder, the one native dependency that not every device has."""
    return importlib.util.find_spec("constriction") is not None


def check_words(data: bytes) -> None:
    """Raises ProtocolError if the data are not words."""
    if not data or len(data) % WORD:
        raise ProtocolError(f"The payload has {len(data)} bytes; entropy-coded ones come in words of {WORD}.")


class RangeEncoder:
    """Symbols to one string. Models are constriction's."""

    def __init__(self) -> None:
        from constriction import stream

        self._words = stream.queue.RangeEncoder()

    def encode(self, symbols: Integers, model: object, *parameters: NDArray[np.float64]) -> None:
        """Symbols (N,), all with one model, or with a model family and the parameters (N,) of each."""
        self._words.encode(symbols.astype(np.int32), model, *parameters)

    def string(self) -> bytes:
        """What was encoded."""
        return cast(bytes, self._words.get_compressed().astype("<u4").tobytes())


class RangeDecoder:
    """One coded string, read step by step.

    Raises:
        ProtocolError: if the data are not words.
    """

    def __init__(self, data: bytes) -> None:
        from constriction import stream

        check_words(data)
        self._words = stream.queue.RangeDecoder(np.frombuffer(data, "<u4").astype(np.uint32))

    def decode(self, model: object, parameters: NDArray[np.float64] | int) -> Integers:
        """The next symbols: so many with one model, or with a model family and the parameters (N,) of each.

        Raises:
            ProtocolError: if it is no string of these models.
        """
        try:
            return cast(Integers, cast(Any, self._words).decode(model, parameters))
        except AssertionError:  # constriction: not a string of this code
            raise ProtocolError("The payload is not one of this point: it is no string of this code.") from None

    def end(self) -> None:
        """Raises ProtocolError if something is left."""
        if not self._words.maybe_exhausted():
            raise ProtocolError("The payload is longer than this point's.")
