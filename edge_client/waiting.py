"""What becomes of a picture from a spool that was not answered. No clock, no disk."""

from __future__ import annotations

from enum import Enum

from edge_client.spool import Kept
from wire.exceptions import (
    AccessDenied,
    ArtoveqError,
    ModelMismatch,
    PictureError,
    PointError,
    ProtocolError,
    ServerError,
    ServerOverloaded,
    ServerUnavailable,
)

MOST_TRIES = 5
"""Of a picture over which the server fails."""
NEVER = (ProtocolError, PictureError, PointError)
LATER = (ServerUnavailable, ServerOverloaded, AccessDenied)


class Fate(Enum):
    """It waits and is tried again, or will never be answered."""

    WAITS = "waits"
    GIVEN_UP = "given up"


def fate(error: ArtoveqError, kept: Kept, fingerprint: str, tries: int) -> Fate:
    """error: why it was not answered. fingerprint: of the edge's model. tries: of this picture in a row, from 1.

    Whatever somebody may set right at the server, or at the edge, is waited for: a token, a model, room on a disk.
    """
    if isinstance(error, NEVER):
        return Fate.GIVEN_UP
    if isinstance(error, ModelMismatch):
        return Fate.GIVEN_UP if kept.picture is None and kept.fingerprint != fingerprint else Fate.WAITS
    if isinstance(error, ServerError) and not isinstance(error, LATER):
        return Fate.GIVEN_UP if tries >= MOST_TRIES else Fate.WAITS
    return Fate.WAITS
