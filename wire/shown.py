"""Text from elsewhere as people may see it: nothing in it moves the cursor, forges a line or gives a secret away."""

from __future__ import annotations

import re
import unicodedata

MOST = 500
"""Characters of a sentence that came from elsewhere, or quotes what did."""
HIDDEN = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
"""Unicode's categories of what is no sign: controls (escapes among them), directions, lone surrogates, line ends."""
MARK = "\N{REPLACEMENT CHARACTER}"


def shown(text: str, most: int = MOST) -> str:
    """The text in one line of at most so many characters, with a mark in place of each that is no sign."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return cut if cut.isprintable() else "".join(_sign(character) for character in cut)


def _sign(character: str) -> str:
    if character in "\n\r\t":
        return " "
    return MARK if unicodedata.category(character) in HIDDEN else character


def without_secrets(address: str) -> str:
    """An address, or a text that has some in it, without users, passwords and parameters.

    More than the secret may go where the address is none: what stands before the last @ may be a password.
    """
    without_user = re.sub(r"(?<=//)\S*@|(?<!\S)(?!\S*//)[^\s/@]*:\S*@", "…@", address)
    return re.sub(r"\?[^\s'\")]+", "?…", without_user)
