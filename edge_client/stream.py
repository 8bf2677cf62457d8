"""One bidirectional stream to a server: messages out, answers sorted by picture."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import grpc

from edge_client.channel import Metadata
from edge_client.errors import status_error
from edge_client.rate import SHORTEST_SAMPLE_S, Sample, Uplink
from wire.bundles import MOST, bundled
from wire.exceptions import ArtoveqError, ServerUnavailable
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceStub
from wire.tracing import REQUEST_ID, Trace, new_request_id

FRAMING_BYTES = 5 + 9 + 52
"""What a message takes on the link beside its own bytes: gRPC's prefix, HTTP/2's frame, TCP/IP."""
WINDOW_BYTES = 2 * 13
"""HTTP/2's window updates: what was received is acknowledged with the next message."""
ROUND_TRIPS = 16
PING_BYTES = 4
WRITE_FAILED = "Internal error from Core"
"""What gRPC itself says, under a code of no meaning, where a message met a connection that was going away."""


@dataclass(frozen=True)
class Arrived:
    """The server has so many planes of a picture; sample: what the newest of them say about the link."""

    planes: int
    sample: Sample | None


Answer = pb.Prediction | Arrived | ArtoveqError


@dataclass(frozen=True)
class _Sent:
    """A message on its way. Receipts come in the order of the messages."""

    left: float
    bits: float
    planes: list[tuple[int, int]]
    """(picture, how many of its planes are there once this has arrived)"""


class Stream:
    """Opened by `open`; fails every picture in flight when it breaks, and is then of no further use."""

    def __init__(self, stub: RemoteInferenceStub, address: str, metadata: Metadata) -> None:
        self._stub = stub
        self.request_id = new_request_id()
        """Of the stream, in the logs of both sides."""
        self.trace = Trace("artoveq.stream", self.request_id)
        self._metadata = (*metadata, (REQUEST_ID, self.request_id), *self.trace.carrier().items())
        self._address = address
        self._ids = itertools.count(1)
        self._inboxes: dict[int, asyncio.Queue[Answer]] = {}
        self._pinged: dict[int, asyncio.Future[pb.Pong]] = {}
        self._mark = (0, 0.0, 0.0)
        """The number of the newest one, when it left, and its bits."""
        self._waiting: list[tuple[pb.Planes | pb.PictureFile, int]] = []
        self._sent: deque[_Sent] = deque()
        self._given_up: list[int] = []
        self._uplink, self._heard, self._acknowledged = Uplink(), 0.0, 0.0
        self._writing = asyncio.Lock()
        self._round_trips: deque[float] = deque(maxlen=ROUND_TRIPS)
        self.broken: ArtoveqError | None = None

    @property
    def round_trip(self) -> float:
        """The shortest of the newest round trips, in seconds: the link's own, without what our bits waited for."""
        return min(self._round_trips)

    async def open(self, fingerprint: str, name: str, timeout: float) -> None:
        """Says hello and waits for the welcome.

        Raises:
            ServerUnavailable: if nobody answers in time.
            ModelMismatch: if the server has another model.
        """
        self._call = self._stub.Stream(metadata=self._metadata)
        began = time.monotonic()
        try:
            await asyncio.wait_for(self._greet(fingerprint, name), timeout)
        except asyncio.TimeoutError as error:
            self._call.cancel()
            raise status_error(grpc.StatusCode.UNAVAILABLE, f"no answer in {timeout:g} s", self._address) from error
        except (grpc.RpcError, asyncio.InvalidStateError):
            raise await self._reason() from None
        self._heard = time.monotonic()
        self._round_trips.append(self._heard - began)
        self._reader = asyncio.create_task(self._read())
        await self.mark()

    async def _greet(self, fingerprint: str, name: str) -> None:
        await self._call.write(pb.StreamRequest(hello=pb.Hello(fingerprint=fingerprint, name=name, reads_bundles=True)))
        response = await self._call.read()
        if response is grpc.aio.EOF:
            raise asyncio.InvalidStateError("the stream ended before the welcome")
        self.reads_coded_planes: bool = response.welcome.reads_coded_planes
        self.reads_bundles: bool = response.welcome.reads_bundles

    async def close(self) -> None:
        """Ends the stream; pictures in flight fail with ServerUnavailable."""
        self._call.cancel()
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader
        self._break(ServerUnavailable(f"The connection to {self._address} was closed."))

    def begin(self) -> tuple[int, asyncio.Queue[Answer]]:
        """A new picture: its id, and the queue that its receipts, predictions or failure come into."""
        picture_id, inbox = next(self._ids), asyncio.Queue[Answer]()
        self._inboxes[picture_id] = inbox
        return picture_id, inbox

    async def mark(self) -> None:
        """Sends a mark where one is due and the link is idle: between pictures it is in nobody's way.

        Raises:
            ServerUnavailable: if the stream has broken.
        """
        now = time.monotonic()
        if self._inboxes or self._sent or not self._uplink.mark_due(now):
            return
        number = next(self._ids)
        self._mark = (number, now, self._bits(PING_BYTES))
        await self._write(pb.StreamRequest(ping=pb.Ping(id=number)))

    def end(self, picture_id: int, *, give_up: bool) -> None:
        """Forgets a picture; with `give_up` the server is told, together with the next planes."""
        self._inboxes.pop(picture_id, None)
        if give_up:
            self._given_up.append(picture_id)

    async def send(self, part: pb.Planes | pb.PictureFile, last: int) -> None:
        """Sends planes of a picture up to plane `last`, or its file, with others that are ready at the same time.

        Raises:
            ServerUnavailable: if the stream has broken.
        """
        if isinstance(part, pb.Planes):
            part.given_up.extend(self._given_up)
            self._given_up.clear()
        self._waiting.append((part, last))
        async with self._writing:
            await asyncio.sleep(0)  # whoever is ready as well may join
            waiting, self._waiting = self._waiting, []
            for is_file, run in groupby(waiting, lambda one: isinstance(one[0], pb.PictureFile)):
                await (self._write_files if is_file else self._write_planes)(list(run))
        if self.broken is not None:  # whoever wrote ours has heard of it
            raise self.broken

    async def _write_files(self, run: Sequence[tuple[Any, int]]) -> None:
        for file, _ in run:
            await self._write_noted(pb.StreamRequest(file=file), [(file.picture_id, 0)])

    async def _write_planes(self, run: Sequence[tuple[Any, int]]) -> None:
        lasts = iter(run)
        for message, inside in bundled([planes for planes, _ in run], MOST if self.reads_bundles else 1):
            await self._write_noted(message, [(planes.picture_id, next(lasts)[1]) for planes in inside])

    @property
    def queued_bits(self) -> float:
        """What has been sent, and has not arrived as far as we know."""
        return sum(sent.bits for sent in self._sent)

    def overdue(self, spent: float) -> Sample | None:
        """What the oldest message on its way says by not having arrived yet: the capacity is at most this.

        spent: seconds that receipts usually take beside the bits; those of whole pictures come with the answer.
        """
        if not self._sent:
            return None
        oldest, now = self._sent[0], time.monotonic()
        seconds = now - max(oldest.left, self._heard) - max(self.round_trip, spent)
        return Sample(oldest.bits, seconds, behind=True) if seconds > SHORTEST_SAMPLE_S else None

    async def probe(self, size: int) -> Sample | None:
        """Fills an idle link with `size` bytes of no meaning, and measures how long they take."""
        begun, ended = await self._ping(b""), await self._ping(bytes(size))
        mark, end = await begun, await ended
        return Sample(8 * (PING_BYTES + size + FRAMING_BYTES), (end.received_us - mark.received_us) / 1e6)

    async def report(self, report: pb.Report) -> None:
        """Tells the server's page how a picture went; returns when it has arrived, and the link is free again."""
        await self._write(pb.StreamRequest(report=report))
        await (await self._ping(b""))

    async def _ping(self, padding: bytes) -> asyncio.Future[pb.Pong]:
        number, pong = next(self._ids), asyncio.get_running_loop().create_future()
        self._pinged[number] = pong
        pong.add_done_callback(lambda done: (self._pinged.pop(number, None), done.cancelled() or done.exception()))
        await self._write(pb.StreamRequest(ping=pb.Ping(id=number, padding=padding)))
        return pong

    async def _write(self, message: pb.StreamRequest) -> None:
        async with self._writing:  # gRPC takes one message at a time
            await self._write_alone(message)

    async def _write_noted(self, message: pb.StreamRequest, planes: list[tuple[int, int]]) -> None:
        self._sent.append(_Sent(time.monotonic(), self._bits(message.ByteSize()), planes))
        await self._write_alone(message)

    def _bits(self, message_bytes: int) -> float:
        """Of a message that is written now, with all around it."""
        heard, self._acknowledged = self._heard > self._acknowledged, time.monotonic()
        return 8.0 * (message_bytes + FRAMING_BYTES + (WINDOW_BYTES if heard else 0))

    async def _write_alone(self, message: pb.StreamRequest) -> None:
        if self.broken is not None:
            raise self.broken
        try:
            await self._call.write(message)
        except (grpc.RpcError, asyncio.InvalidStateError):
            self._break(await self._reason())
            assert self.broken is not None
            raise self.broken from None

    async def _read(self) -> None:
        try:
            while (message := await self._call.read()) is not grpc.aio.EOF:
                self._heard = time.monotonic()
                for one in message.bundle.responses or (message,):
                    self._sort(one)
        except grpc.RpcError:
            pass
        self._break(await self._reason())

    def _sort(self, message: pb.StreamResponse) -> None:
        kind = message.WhichOneof("message")
        if kind == "pong":
            self._pong(message.pong)
        elif kind == "receipt":
            self._arrived(message.receipt)
        elif kind == "prediction":
            self._deliver(message.prediction.picture_id, message.prediction)
        elif kind == "failure":
            failure = message.failure
            code = next((c for c in grpc.StatusCode if c.value[0] == failure.code), None)
            self._deliver(
                failure.picture_id, status_error(code, failure.message, self._address, failure.retry_after_ms / 1000)
            )

    def _pong(self, pong: pb.Pong) -> None:
        number, left, bits = self._mark
        if pong.id == number:
            self._round_trips.append(self._heard - left)
            self._uplink.marked(left, pong.received_us / 1e6, bits)
        elif pong.id in self._pinged and not self._pinged[pong.id].done():
            self._pinged[pong.id].set_result(pong)

    def _deliver(self, picture_id: int, answer: Answer) -> None:
        inbox = self._inboxes.get(picture_id)
        if inbox is not None:  # else it came after the picture was given up
            inbox.put_nowait(answer)

    def _arrived(self, receipt: pb.Receipt) -> None:
        """One message has arrived: what it says about the link, and which planes are there now."""
        if not self._sent:
            return
        sent = self._sent.popleft()
        sample = self._uplink.arrived(sent.left, receipt.received_us / 1e6, sent.bits)
        for picture_id, planes in sent.planes:
            self._deliver(picture_id, Arrived(planes, sample))

    async def _reason(self) -> ArtoveqError:
        """Why the call ended, from its status."""
        code, details = await self._call.code(), await self._call.details()
        if code == grpc.StatusCode.OK:
            code, details = grpc.StatusCode.UNAVAILABLE, "the server ended the stream"
        elif details == WRITE_FAILED:
            code, details = grpc.StatusCode.UNAVAILABLE, "the connection broke"
        return status_error(code, details or "", self._address)

    def _break(self, reason: ArtoveqError) -> None:
        if self.broken is None:
            self.broken = reason
            self.trace.end()
            for inbox in self._inboxes.values():
                inbox.put_nowait(reason)
            for pong in list(self._pinged.values()):
                if not pong.done():
                    pong.set_exception(reason)
