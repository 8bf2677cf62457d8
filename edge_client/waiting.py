"""What becomes of a picture from a spool that was not answered. No clock, no disk."""

from __future__ import annotations

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


def is_waited_for(error: ArtoveqError, kept: Kept, fingerprint: str, tries: int) -> bool:
    """Whether it is tried again; else it will never be answered.

    error: why it was not answered. fingerprint: of the edge's model. tries: of this picture in a row, from 1.

    Whatever somebody may set right at the server, or at the edge, is waited for: a token, a model, room on a disk.
    """
    if isinstance(error, NEVER):
        return False
    if isinstance(error, ModelMismatch):
        return kept.picture is not None or kept.fingerprint == fingerprint
    if isinstance(error, ServerError) and not isinstance(error, LATER):
        return tries < MOST_TRIES
    return True
