"""Text that came from elsewhere, as it may be shown to people: nothing in it moves the cursor or forges a line."""

from __future__ import annotations

import unicodedata

MOST = 500
"""Characters of a sentence that came from elsewhere, or quotes what did."""
HIDDEN = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
"""Unicode's categories of what is no sign: controls (escapes among them), directions, lone surrogates, line ends."""
MARK = "\N{REPLACEMENT CHARACTER}"


def shown(text: str, most: int = MOST) -> str:
    """The text, at most so many characters of it, with a mark in place of each that is no sign."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return cut if cut.isprintable() else "".join(MARK if unicodedata.category(c) in HIDDEN else c for c in cut)
