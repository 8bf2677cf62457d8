"""Does what a stream's state says: the one place where a stream touches the decoder, the page and the log."""

from __future__ import annotations

import asyncio
import logging
import math
import time

import grpc

from inference_server import metrics
from inference_server.access import Caller
from inference_server.access.turns import Cost
from inference_server.answers import Decoded
from inference_server.caller_logs import refusals
from inference_server.deployment import Deployment
from inference_server.model import Model
from inference_server.page.edges import Edge
from inference_server.registry import ModelRegistry
from inference_server.streams.actions import (
    Action,
    Answered,
    Begun,
    Completed,
    Decode,
    EncodeFile,
    End,
    Failed,
    Report,
    Respond,
    Withdraw,
)
from inference_server.streams.state import StreamState
from inference_server.streams.status import status_of
from inference_server.tracing import StreamTrace
from wire.bundles import MOST
from wire.exceptions import ArtoveqError, ServerError
from wire.generated import remote_inference_pb2 as pb

log = logging.getLogger(__name__)

FAILURE_LEVELS = {grpc.StatusCode.INVALID_ARGUMENT: logging.DEBUG, grpc.StatusCode.NOT_FOUND: logging.DEBUG}
"""What a caller does wrong fills no log; what the server does is worth a line."""
OUTBOX_LIMIT = 1024
"""With so many responses unread, no more requests are read: a slow reader slows itself alone."""


class StreamRunner:
    """One stream between its state and the rest of the server. Use from the event loop only."""

    def __init__(
        self,
        deployment: Deployment,
        model: Model,
        hello: pb.Hello,
        edge: Edge,
        caller: Caller,
        request_id: str,
        trace: StreamTrace,
        age_s: float,
    ) -> None:
        self.model, self._edge, self.caller = model, edge, caller
        self._wanted, self._follows = model, hello.follows_model
        self._edges, self._turns = deployment.edges, deployment.access.turns
        self.cost = Cost()
        """Of what the edge says, since it was last charged."""
        self._request_id, self._trace = request_id, trace
        self._bundles = hello.reads_bundles
        self.state = StreamState(
            model.codec,
            model.task,
            admit=lambda now: deployment.access.spend(caller, now),
            most_pictures=deployment.settings.stream_pictures,
            bundles=hello.reads_bundles,
            moves=hello.reads_moves,
            idle_s=deployment.settings.idle_seconds,
            age_s=age_s,
            now=time.monotonic(),
        )
        self.refusal: ArtoveqError | None = None
        self.began, self.told_to_move = time.monotonic(), -math.inf
        self._outbox: asyncio.Queue[pb.StreamResponse | None] = asyncio.Queue()
        self._room = asyncio.Event()
        self._room.set()
        self._encoding: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._wait()

    async def receive(self, request: pb.StreamRequest) -> None:
        """Takes one message after the hello; returns when there is room for the next one.

        Raises:
            AccessDenied: if the caller's token is no longer there.
            ProtocolError: if the stream as a whole cannot go on.
        """
        if self.refusal is not None:
            raise self.refusal
        before = self.state.received_bytes
        for actions, more in self.state.receive_in_parts(request, time.monotonic()):
            self._perform(actions)
            self._turns.worked(self.caller.name, self.cost.take())
            if more:
                await self._turns.turn(self.caller.name)
        metrics.RECEIVED_BYTES.inc(self.state.received_bytes - before)
        await self._room.wait()

    def input_ended(self) -> None:
        """The edge will send nothing more."""
        self._perform(self.state.input_ended())

    def drain(self) -> None:
        """Ends the stream once its pictures are answered; where the edge can go elsewhere, it is told to."""
        self._perform(self.state.drain(time.monotonic()))
        self._wait()

    def move(self) -> None:
        """Has the edge open its stream anew."""
        self.told_to_move = time.monotonic()
        self._perform(self.state.move(self.told_to_move))
        self._wait()

    def follow(self, models: ModelRegistry) -> None:
        """Tells the edge where it is to have another version of its model."""
        wanted = models.of_edge(self.model, f"{self._edge.caller}\0{self._edge.name}")
        if self._follows and wanted is not self._wanted:
            self._wanted = wanted
            self._perform(self.state.follow(wanted.manifest.fingerprint))

    def _wait(self) -> None:
        """For what is due with time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (due := self.state.due) < math.inf:
            self._timer = asyncio.get_running_loop().call_later(due - time.monotonic(), self._time_passed)

    def _time_passed(self) -> None:
        self._perform(self.state.time_passed(time.monotonic()))
        self._wait()

    def end(self) -> None:
        """Nothing more is said than what lies ready."""
        self._outbox.put_nowait(None)

    def refuse(self, error: ArtoveqError) -> None:
        """Nothing more is taken from the edge, nor said but why."""
        self.refusal = error
        while not self._outbox.empty():
            self._outbox.get_nowait()
        self.end()

    def close(self) -> None:
        """The stream is gone."""
        if self._timer is not None:
            self._timer.cancel()
        self._perform(self.state.close())

    async def next_response(self) -> pb.StreamResponse | None:
        """What is to be said next, None at the end: one response, or, where that is understood, all that are ready."""
        first = await self._outbox.get()
        if first is None:
            return None
        ready = [first]
        while self._bundles and len(ready) < MOST and not self._outbox.empty():
            if (response := self._outbox.get_nowait()) is None:
                self._outbox.put_nowait(None)
                break
            ready.append(response)
        if self._outbox.qsize() < OUTBOX_LIMIT // 2:
            self._room.set()
        return first if len(ready) == 1 else pb.StreamResponse(bundle=pb.ResponseBundle(responses=ready))

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Respond(response):
                    self._outbox.put_nowait(response)
                    if self._outbox.qsize() >= OUTBOX_LIMIT:
                        self._room.clear()
                case Decode():
                    self._decode(action)
                case Answered():
                    self._answered(action)
                case Completed():
                    self._completed(action)
                case Begun(point):
                    self.model.count_begun(point)
                case Withdraw(picture_id):
                    self.model.decoder.withdraw(self.caller.name, self, picture_id)
                case EncodeFile():
                    task = asyncio.create_task(self._encode(action))
                    self._encoding.add(task)
                    task.add_done_callback(self._encoding.discard)
                case Failed(picture_id, error):
                    self._failed(picture_id, error)
                case Report(report):
                    self._edges.report(self._edge, report)
                case End():
                    self.end()

    def _decode(self, action: Decode) -> None:
        picture_id = action.picture_id

        def deliver(outcome: Decoded | ArtoveqError) -> None:
            if isinstance(outcome, Decoded):
                self._perform(self.state.decoded(picture_id, outcome, time.monotonic()))
            else:
                self._perform(self.state.failed(picture_id, outcome))

        self._turns.decodes(self.caller.name)
        try:
            work = action.point, action.newest, deliver, action.question
            self.model.decoder.submit(self.caller.name, self, picture_id, *work)
        except ArtoveqError as error:
            self._perform(self.state.failed(picture_id, error))

    async def _encode(self, action: EncodeFile) -> None:
        try:
            indices = await self.model.encode(self.caller.name, action.file, action.point)
        except ArtoveqError as error:
            self._perform(self.state.failed(action.picture_id, error))
        except Exception as error:  # a fault of one picture must not leave its caller waiting
            log.exception("The encoder failed on a picture.")
            failure = ServerError(f"The encoder failed ({error}); the server's log has more.")
            self._perform(self.state.failed(action.picture_id, failure))
        else:
            self._perform(self.state.encoded(action.picture_id, indices))

    def _answered(self, note: Answered) -> None:
        self._edge.answered(note)
        if note.first:
            metrics.FIRST_ANSWER_SECONDS.observe(note.seconds)

    def _completed(self, note: Completed) -> None:
        self.model.count(note.decoded.point)
        self._trace.record(
            "artoveq.picture",
            note.seconds,
            request_id=f"{self._request_id}-{note.picture_id}",
            point=note.decoded.point,
            queue_ms=1000 * note.decoded.queue,
            decode_ms=1000 * note.decoded.decode,
        )

    def _failed(self, picture_id: int, error: ArtoveqError) -> None:
        code = status_of(error)
        named = {"request_id": f"{self._request_id}-{picture_id}", "caller": self.caller.name, "code": code.name}
        refusals.log(FAILURE_LEVELS.get(code, logging.INFO), "A picture failed: %s", error, extra=named)
        metrics.FAILURES.labels(code.name).inc()
