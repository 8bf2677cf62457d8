"""Pictures that wait in a spool for a server: what is kept of them, and what is asked about them later."""

from __future__ import annotations

import hashlib
from typing import Any

from edge_client.codec import write_webp
from edge_client.encoder import Encoder
from edge_client.spool import Arrival, Kept, Spool
from wire.generated import remote_inference_pb2 as pb
from wire.payload import PayloadCodec
from wire.pictures import Picture, fit_picture, read_picture

KEPT_SIDE, KEPT_QUALITY = 256, 90
"""Of a picture in a spool: pixels, where it is larger, and as WebP."""


def keep(
    spool: Spool, encoder: Encoder, picture: Picture, context: dict[str, Any], *, key: bytes, arrival: Arrival | None
) -> list[Kept]:
    """Puts into the spool of a picture what it wants: planes, the picture, or both; returns what had to go for it."""
    planes = ("", 0, b"", False) if spool.parts == "picture" else _block(encoder, picture)
    file = None
    if spool.parts != "planes":
        side = min(KEPT_SIDE, *picture.shape[:2])
        file = write_webp(fit_picture(picture, side), side, KEPT_QUALITY)
    return spool.keep(*planes, context, picture=file, key=key, arrival=arrival)


def request_of(kept: Kept, encoder: Encoder, top_k: int) -> pb.PredictRequest:
    """What is asked about a kept picture; one that is there as such is encoded anew where the encoder is another.

    Raises:
        PictureError: if it is damaged.
    """
    planes = (kept.fingerprint, kept.point, kept.data, kept.packed)
    if kept.picture is not None and kept.fingerprint != encoder.manifest.fingerprint:
        planes = _block(encoder, read_picture(kept.picture))
    fingerprint, point, data, packed = planes
    request = pb.PredictRequest(fingerprint=fingerprint, point=point, data=data, packed=packed, top_k=top_k)
    # A key is bound to what is asked with it, which is another thing for another model.
    request.key = hashlib.sha256(kept.key + request.SerializeToString(deterministic=True)).digest()
    return request


def _block(encoder: Encoder, picture: Picture) -> tuple[str, int, bytes, bool]:
    """Fingerprint, point, data and whether it is packed, of a picture at the model's finest point."""
    indices, codec = encoder.encode(picture, encoder.finest), PayloadCodec(encoder.manifest)
    return encoder.manifest.fingerprint, encoder.finest, *codec.write_block(indices, encoder.finest)
