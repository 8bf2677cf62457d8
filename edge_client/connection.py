"""One stream to a server: a transport, and the ledger of what crosses it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence

from edge_client.errors import UNAVAILABLE, status_error
from edge_client.rate.uplink import Sample
from edge_client.request import Request, Send
from edge_client.results import Answer, Result
from edge_client.stream import PING_BYTES, Event, Failed, Part, Ponged, StreamLedger, ToldToMove
from edge_client.tracing import StreamTrace
from edge_client.transport.base import Metadata, Transport
from wire.exceptions import ArtoveqError, ServerUnavailable
from wire.generated import remote_inference_pb2 as pb
from wire.request_ids import REQUEST_ID, new_request_id


class Inbox:
    """Events of one picture, in order; one reader."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._waiter: asyncio.Future[None] | None = None

    def put(self, event: Event) -> None:
        """Adds an event."""
        self._events.append(event)
        self._wake()

    async def get(self, until: float) -> Event | None:
        """The oldest event; None where there is none until then, by the loop's time."""
        if not self._events:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = loop.call_at(until, self._wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
        return self._events.pop(0) if self._events else None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Connection:
    """Opened by `open`; fails every picture in flight when it breaks, and is then of no further use.

    told_to_move: is called when the server wants the edge to go elsewhere, with the fingerprint of its message.
    """

    def __init__(
        self, transport: Transport, address: str, metadata: Metadata, told_to_move: Callable[[Connection, str], None]
    ) -> None:
        self._transport, self._address, self._told_to_move = transport, address, told_to_move
        self.ledger = StreamLedger(address, transport.overhead_bytes, transport.acknowledgement_bytes)
        self.request_id = new_request_id()
        """Of the stream, in the logs of both sides."""
        self.trace = StreamTrace(self.request_id)
        self._metadata = (*metadata, (REQUEST_ID, self.request_id), *self.trace.metadata().items())
        self._inboxes: dict[int, Inbox] = {}
        self._pinged: dict[int, asyncio.Future[float]] = {}
        self._waiting: list[tuple[Part, int]] = []
        self._writing = asyncio.Lock()
        self.broken: ArtoveqError | None = None
        self._uses, self._unused = 0, asyncio.Event()
        self._unused.set()

    async def open(self, fingerprint: str, name: str, timeout: float, *, follows: bool) -> None:
        """Says hello and waits for the welcome. follows: whether another version of the model is taken.

        Raises:
            ServerUnavailable: if nobody answers within `timeout` seconds.
            ModelMismatch: if the server does not have the model.
        """
        self._loop = asyncio.get_running_loop()
        began = self._loop.time()
        try:
            welcome = await asyncio.wait_for(self._greet(fingerprint, name, follows), timeout)
        except asyncio.TimeoutError as error:
            await self._transport.close()
            raise status_error(UNAVAILABLE, f"no answer in {timeout:g} s", self._address) from error
        self.ledger.welcomed(welcome, began, self._loop.time())
        self._reader = asyncio.create_task(self._read())
        await self.sync()

    async def _greet(self, fingerprint: str, name: str, follows: bool) -> pb.Welcome:
        await self._transport.open(self._metadata)
        hello = pb.Hello(
            fingerprint=fingerprint, name=name, reads_bundles=True, reads_moves=True, follows_model=follows
        )
        await self._transport.send(pb.StreamRequest(hello=hello))
        return (await self._transport.receive()).welcome

    async def finish(self) -> None:
        """Ends the stream once the pictures that are open on it are answered."""
        await self._unused.wait()
        if self.broken is None:
            await self.close()

    @contextlib.contextmanager
    def _used(self) -> Iterator[None]:
        self._uses += 1
        self._unused.clear()
        try:
            yield
        finally:
            self._uses -= 1
            if not self._uses:
                self._unused.set()

    async def close(self) -> None:
        """Ends the stream; pictures in flight fail with ServerUnavailable."""
        self._break(ServerUnavailable(f"The connection to {self._address} was closed."))
        await self._transport.close()
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader

    async def ask(
        self,
        prepare: Callable[[int, StreamLedger, Result], Request],
        result: Result,
        on_answer: Callable[[Answer], None] | None,
    ) -> Request:
        """Has a picture prepared under a new id, says all that is to be said about it, and fills its `result`.

        Raises:
            ArtoveqError: if the picture, or the stream, fails.
        """
        picture_id, inbox = self.ledger.begin(), Inbox()
        self._inboxes[picture_id] = inbox
        request: Request | None = None
        with self._used():
            try:
                result.request_id = f"{self.request_id}-{picture_id}"
                request = prepare(picture_id, self.ledger, result)
                while (step := request.step(self._loop.time())) is not None:
                    if isinstance(step, Send):
                        await self._send(step.part, step.planes)
                    elif (event := await inbox.get(step.until)) is not None:
                        answer = request.receive(event, self._loop.time())
                        if answer is not None and on_answer is not None:
                            on_answer(answer)
                return request
            finally:
                del self._inboxes[picture_id]
                self.ledger.end(picture_id, give_up=request is not None and request.give_up)

    async def _send(self, part: Part, planes: int) -> None:
        """Sends a part of a picture, up to so many planes, with others that are ready at the same time.

        Raises:
            ServerUnavailable: if the stream has broken.
        """
        self._waiting.append((part, planes))
        async with self._writing:
            await asyncio.sleep(0)  # whoever is ready as well may join
            waiting, self._waiting = self._waiting, []
            for message in self.ledger.messages(waiting, self._loop.time()) if waiting else ():
                await self._write_alone(message)
        if self.broken is not None:  # whoever wrote ours has heard of it
            raise self.broken

    async def sync(self) -> None:
        """Sends a sync probe where one is due and the link is idle.

        Raises:
            ServerUnavailable: if the stream has broken.
        """
        async with self._writing:  # the transport takes one message at a time
            probe = self.ledger.sync_probe(self._loop.time())
            if probe is not None:
                await self._write_alone(probe)

    async def probe(self, size: int) -> Sample:
        """Fills an idle link with `size` bytes of no meaning, and measures how long they take."""
        begun, ended = await self._ping(0), await self._ping(size)
        first, last = await begun, await ended
        return Sample(8 * (PING_BYTES + size + self.ledger.overhead_bytes), last - first)

    async def report(self, report: pb.Report) -> None:
        """Tells the server's page how a picture went; returns when it has arrived, and the link is free again."""
        with self._used():
            await self._write(pb.StreamRequest(report=report))
            await (await self._ping(0))

    async def _ping(self, size: int) -> asyncio.Future[float]:
        number, message = self.ledger.ping(size)
        self._pinged[number] = pong = self._loop.create_future()
        pong.add_done_callback(lambda done: (self._pinged.pop(number, None), done.cancelled() or done.exception()))
        await self._write(message)
        return pong

    async def _write(self, message: pb.StreamRequest) -> None:
        async with self._writing:
            await self._write_alone(message)

    async def _write_alone(self, message: pb.StreamRequest) -> None:
        if self.broken is not None:
            raise self.broken
        try:
            await self._transport.send(message)
        except ArtoveqError as error:
            self._break(error)
            assert self.broken is not None
            raise self.broken from None

    async def _read(self) -> None:
        try:
            while True:
                response = await self._transport.receive()
                self._sort(list(self.ledger.receive(response, self._loop.time())))
        except ArtoveqError as error:
            self._break(error)

    def _sort(self, events: Sequence[Event | ToldToMove]) -> None:
        for event in events:
            if isinstance(event, ToldToMove):
                self._told_to_move(self, event.fingerprint)
            elif isinstance(event, Ponged):
                pong = self._pinged.get(event.number)
                if pong is not None and not pong.done():
                    pong.set_result(event.received_s)
            elif (inbox := self._inboxes.get(event.picture_id)) is not None:  # else it was given up
                inbox.put(event)

    def _break(self, reason: ArtoveqError) -> None:
        if self.broken is None:
            self.broken = reason
            self.trace.end()
            for picture_id, inbox in self._inboxes.items():
                inbox.put(Failed(picture_id, reason))
            for pong in list(self._pinged.values()):
                if not pong.done():
                    pong.set_exception(reason)
