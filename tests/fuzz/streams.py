"""A stream as a stranger sees it: which model, whether bundles are read; then steps, of a byte each.

A message of the edge has its length and its bytes; other steps are the decoder's, or the stream's end. Whatever was
said, each picture that was begun is answered for good or fails, once; then the stream ends.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from google.protobuf.message import DecodeError

from inference_server.answers import Decoded
from inference_server.streams.actions import Action, Begun, Decode, EncodeFile, End, Failed, Respond, Withdraw
from inference_server.streams.state import StreamState
from tests import tiny
from tests.fuzz import Cursor
from tests.fuzz.entropy import coder_of
from tests.wire.manifests import chained, manifest_of
from wire.exceptions import ProtocolError, ServerError, ServerOverloaded
from wire.generated import remote_inference_pb2 as pb
from wire.payload import PayloadCodec
from wire.tasks import task_of

REFINABLE = chained((1, 1), tiny.CHAIN, positions=4, largest=16, coded=True)
BLOCKS = manifest_of((2,), [(2,), (3,), (4,)], positions=4, any_size=True)
CODECS = (PayloadCodec(REFINABLE, coder_of(REFINABLE)), PayloadCodec(BLOCKS))
MOST = 3
MESSAGE, DECODE, ENCODE, FAIL, END, DRAIN = range(6)
OUTPUT = np.array([0.25, 0.75], np.float32)


class Stream:
    """A stream's state with a decoder that waits to be told, and what must hold of them."""

    def __init__(self, codec: PayloadCodec, bundles: bool, moves: bool, patience: int) -> None:
        self.state = StreamState(
            codec, task_of(codec.manifest), admit=self._admit, most_pictures=MOST, bundles=bundles, moves=moves
        )
        self.now, self.ended, self._patience, self._admitted = 0.0, False, patience, 0
        self.decoding: dict[int, int] = {}
        self.encoding: dict[int, int] = {}
        self._received = 0

    def step(self, of: Callable[..., list[Action]], *given: object) -> None:
        """Something happens; then everything it asks for."""
        for action in of(*given):
            assert not self.ended, f"{action} after the end"
            match action:
                case Respond(response):
                    self._checked(response)
                case Decode(picture_id, point, _):
                    self.decoding[picture_id] = point
                case EncodeFile(picture_id, point, _):
                    self.encoding[picture_id] = point
                case Withdraw(picture_id) | Failed(picture_id):
                    self._gone(picture_id)
                case End():
                    self.ended = True
                case Begun():
                    pass
        waiting = self.decoding.keys() | self.encoding.keys()
        assert waiting <= self.state._pictures.keys() and len(self.state._pictures) <= MOST

    def decode(self) -> None:
        """The oldest picture that waits has been decoded."""
        picture_id, point = next(iter(self.decoding.items()))
        del self.decoding[picture_id]
        self.step(self.state.decoded, picture_id, Decoded(point, OUTPUT, 0.0, 0.0), self.now)

    def encode(self, codec: PayloadCodec) -> None:
        """The oldest file that waits has been encoded."""
        picture_id = next(iter(self.encoding))
        del self.encoding[picture_id]
        self.step(self.state.encoded, picture_id, np.zeros(codec.manifest.sub_vectors, np.int32))

    def fail(self) -> None:
        """Work on the oldest picture that waits has failed."""
        picture_id = next(iter([*self.encoding, *self.decoding]))
        self.step(self.state.failed, picture_id, ServerError("The decoder failed."))

    def _admit(self, now: float) -> None:
        self._admitted += 1
        if self._patience and self._admitted % self._patience == 0:
            raise ServerOverloaded("Send fewer.")

    def _checked(self, response: pb.StreamResponse) -> None:
        kind = response.WhichOneof("message")
        assert kind in ("answer", "failure", "move", "pong", "receipt"), kind
        if kind == "receipt":
            assert response.receipt.received_bytes >= self._received
            self._received = response.receipt.received_bytes
        if kind == "answer" and response.answer.final:
            self._gone(response.answer.picture_id)
        assert response.ByteSize() < 4096

    def _gone(self, picture_id: int) -> None:
        self.decoding.pop(picture_id, None)
        self.encoding.pop(picture_id, None)


def check(data: bytes) -> None:
    given = Cursor(data)
    codec = CODECS[given.number() % len(CODECS)]
    can = given.number()
    stream = Stream(codec, bundles=bool(can & 1), moves=bool(can & 2), patience=given.number() % 8)
    while given and not stream.ended:
        stream.now += 0.001
        kind = given.number() % 6
        if kind == MESSAGE:
            try:
                request = pb.StreamRequest.FromString(given.take(given.number(2)))
                stream.step(stream.state.receive, request, stream.now)
            except (DecodeError, ProtocolError):  # that ends the call
                stream.step(stream.state.close)
                assert not stream.decoding and not stream.encoding and not stream.state._pictures
                return
        elif kind == DECODE and stream.decoding:
            stream.decode()
        elif kind == ENCODE and stream.encoding:
            stream.encode(codec)
        elif kind == FAIL and (stream.decoding or stream.encoding):
            stream.fail()
        elif kind == END:
            stream.step(stream.state.input_ended)
            break
        elif kind == DRAIN:
            stream.step(stream.state.drain, stream.now)
            stream.now += given.number() % 2
            if not stream.ended:
                stream.step(stream.state.time_passed, stream.now)
    if not stream.ended:
        stream.step(stream.state.input_ended)
    while stream.encoding:
        stream.encode(codec)
    while stream.decoding:
        stream.decode()
    assert stream.ended and not stream.state._pictures
