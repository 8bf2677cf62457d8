"""What an edge tells the people who watch the server's page, where it was told to."""

from __future__ import annotations

import io

from PIL import Image

from edge_client.results import Result
from wire.generated import remote_inference_pb2 as pb
from wire.pictures import Picture, fit_picture

CODEC_QUALITY = 50
THUMBNAIL_SIDE, THUMBNAIL_QUALITY = 64, 20


def file_bytes(picture: Picture, codec: str, quality: int = CODEC_QUALITY) -> bytes:
    """The picture as a JPEG or WebP file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, codec, quality=quality)
    return file.getvalue()


def report_of(
    result: Result,
    picture: Picture,
    size: int,
    *,
    thumbnail: bool = False,
    capacity: float | None = None,
    spread: tuple[float, float] | None = None,
    true_capacity: float | None = None,
) -> pb.Report:
    """A result as a report. size: of the encoder's input. Its times are those of the server's first answer; of the
    edge's own, where no other came.

    capacity, true_capacity: bits per second, as measured and where they are known. spread: what pictures are expected
    to find, with a capacity that was measured.
    """
    fitted = fit_picture(picture, size)
    small = file_bytes(fit_picture(fitted, THUMBNAIL_SIDE), "WebP", THUMBNAIL_QUALITY) if thumbnail else b""
    low, high = spread if spread and capacity else (0.0, 0.0)
    first = result.timed
    return pb.Report(
        point=result.answers[-1].point,
        payload_bytes=result.payload_bytes,
        capacity=round(capacity or 0),
        true_capacity=round(true_capacity or 0),
        capacity_low=round(low),
        capacity_high=round(high),
        latency_us=round(first.after * 1e6),
        budget_us=round(result.budget * 1e6),
        jpeg_bytes=len(file_bytes(fitted, "JPEG")),
        webp_bytes=len(file_bytes(fitted, "WebP")),
        thumbnail=small,
        encode_us=round(result.encode * 1e6),
        queue_us=round(first.queue * 1e6),
        decode_us=round(first.decode * 1e6),
    )
