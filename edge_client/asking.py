"""Further questions: what a server has of a picture already, so that the question alone is sent."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from edge_client.modes import File, Mode
from edge_client.stream import StreamLedger
from wire.generated import remote_inference_pb2 as pb
from wire.pictures import Picture


def digest_of(picture: Picture) -> bytes:
    """The same for equal pictures alone."""
    return hashlib.sha256(repr(picture.shape).encode() + np.ascontiguousarray(picture).tobytes()).digest()


@dataclass(frozen=True)
class Asked:
    """A picture that was asked about on a stream, where its server keeps it at this point."""

    digest: bytes
    ledger: StreamLedger
    picture_id: int
    point: int

    def serves(self, digest: bytes, ledger: StreamLedger, mode: Mode) -> bool:
        """Whether a question about a picture may be answered from it."""
        if isinstance(mode, File) or (mode.point is not None and mode.point != self.point):
            return False
        return self.ledger is ledger and self.digest == digest

    def further(self, picture_id: int, question: str, top_k: int) -> pb.Question:
        """The message of a further question."""
        back, named = picture_id - self.picture_id, top_k if top_k > 1 else 0
        return pb.Question(picture_id=picture_id, back=back, question=question, top_k=named)
