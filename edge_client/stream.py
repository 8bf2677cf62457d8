"""One bidirectional stream to a server: messages out, answers sorted by picture."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import deque

import grpc

from edge_client.channel import Metadata
from edge_client.errors import status_error
from edge_client.rate import CapacityEstimator
from wire.exceptions import ArtoveqError, ServerUnavailable
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceStub

MESSAGE_OVERHEAD = 5 + 9
"""Bytes that gRPC's prefix and an HTTP/2 frame header add to a message."""
SHORTEST_SAMPLE_S = 0.002
"""What arrives closer together than this may have come in one packet: the link is at least so fast."""

ROUND_TRIPS = 16
WRITE_FAILED = "Internal error from Core"
"""What gRPC itself says, under a code of no meaning, where a message met a connection that was going away."""

Answer = pb.Prediction | pb.Receipt | ArtoveqError


class Stream:
    """Opened by `open`; fails every picture in flight when it breaks, and is then of no further use."""

    def __init__(
        self, stub: RemoteInferenceStub, address: str, estimator: CapacityEstimator, metadata: Metadata
    ) -> None:
        self._stub, self._metadata = stub, metadata
        self._address = address
        self._estimator = estimator
        self._ids = itertools.count(1)
        self._inboxes: dict[int, asyncio.Queue[Answer]] = {}
        self._pinged: dict[int, float] = {}
        self._marks: dict[int, pb.Pong] = {}
        self._settling: dict[int, asyncio.Future[None]] = {}
        self._last_sample = time.monotonic()
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
        self._round_trips.append(time.monotonic() - began)
        self._reader = asyncio.create_task(self._read())

    async def _greet(self, fingerprint: str, name: str) -> None:
        await self._call.write(pb.StreamRequest(hello=pb.Hello(fingerprint=fingerprint, name=name)))
        response = await self._call.read()
        if response is grpc.aio.EOF:
            raise asyncio.InvalidStateError("the stream ended before the welcome")
        self.reads_coded_planes: bool = response.welcome.reads_coded_planes

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

    async def end(self, picture_id: int, *, cancel: bool) -> None:
        """Forgets a picture; with `cancel` the server is told, too."""
        self._inboxes.pop(picture_id, None)
        self._pinged.pop(picture_id, None)
        self._marks.pop(picture_id, None)
        if cancel and self.broken is None:
            with contextlib.suppress(ArtoveqError):
                await self._write(pb.StreamRequest(cancel=pb.Cancel(picture_id=picture_id)))

    async def mark(self, picture_id: int) -> None:
        """Marks where a burst of planes begins, on the server's clock; measures the round trip as well."""
        self._pinged[picture_id] = time.monotonic()
        await self._write(pb.StreamRequest(ping=pb.Ping(id=picture_id)))

    async def send(self, planes: pb.Planes) -> None:
        """Sends planes of one picture.

        Raises:
            ServerUnavailable: if the stream has broken.
        """
        await self._write(pb.StreamRequest(planes=planes))

    async def report(self, report: pb.Report) -> None:
        """Tells the server's page how a picture went; returns when it has arrived, and the link is free again."""
        number, arrived = next(self._ids), asyncio.get_running_loop().create_future()
        self._settling[number] = arrived
        try:
            await self._write(pb.StreamRequest(report=report))
            await self._write(pb.StreamRequest(ping=pb.Ping(id=number)))
            await arrived
        finally:
            del self._settling[number]

    async def _write(self, message: pb.StreamRequest) -> None:
        async with self._writing:  # gRPC takes one message at a time
            await self._write_alone(message)

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
                self._sort(message)
        except grpc.RpcError:
            pass
        self._break(await self._reason())

    def _sort(self, message: pb.StreamResponse) -> None:
        kind = message.WhichOneof("message")
        if kind == "pong":
            pong = message.pong
            if (sent := self._pinged.pop(pong.id, None)) is not None:
                self._round_trips.append(time.monotonic() - sent)
                self._marks[pong.id] = pong
            elif pong.id in self._settling and not self._settling[pong.id].done():
                self._settling[pong.id].set_result(None)
        elif kind == "receipt":
            self._measure(message.receipt)
            self._deliver(message.receipt.picture_id, message.receipt)
        elif kind == "prediction":
            self._deliver(message.prediction.picture_id, message.prediction)
        elif kind == "failure":
            failure = message.failure
            code = next((c for c in grpc.StatusCode if c.value[0] == failure.code), None)
            self._deliver(failure.picture_id, status_error(code, failure.message, self._address))

    def _deliver(self, picture_id: int, answer: Answer) -> None:
        inbox = self._inboxes.get(picture_id)
        if inbox is not None:  # else it came after the picture was given up
            inbox.put_nowait(answer)

    def _measure(self, receipt: pb.Receipt) -> None:
        """One capacity sample: from the mark to the first planes of a picture, on the server's clock.

        Later planes may have waited for the edge rather than for the link.
        """
        mark = self._marks.pop(receipt.picture_id, None)
        if mark is None:
            return
        seconds = (receipt.received_us - mark.received_us) / 1e6
        received = receipt.received_bytes - mark.received_bytes + MESSAGE_OVERHEAD
        now = time.monotonic()
        self._estimator.add(
            8 * received,
            max(seconds, SHORTEST_SAMPLE_S),
            now - self._last_sample,
            app_limited=seconds < SHORTEST_SAMPLE_S,
        )
        self._last_sample = now

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
            for inbox in self._inboxes.values():
                inbox.put_nowait(reason)
            for arrived in self._settling.values():
                if not arrived.done():
                    arrived.set_exception(reason)
