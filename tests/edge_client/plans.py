"""Plans of steps: what a link does, which pictures are sent over it, and what must come of it. All in virtual time.

    run([
        Conditions(capacity=20_000),
        Pictures(every=1.0, budget=0.1),
        Run(60),
        Check("the estimate is right", lambda seen: 15_000 < seen.capacity < 25_000),
    ])

The client is the real one, over the in-memory transport; the server is its pure core (`StreamState`, `Scheduler`)
with a decoder that takes a fixed time. What is random is drawn from a seed.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from statistics import mean

import numpy as np

from edge_client import AsyncClient, Encoder, OneShot, Result
from edge_client.modes import Mode
from edge_client.rate import RatePolicy
from edge_client.transport.emulated import CapacityTrace, Shaper
from edge_client.transport.memory import MemoryTransport, Respond, run_in_virtual_time
from inference_server.answers import Decoded
from inference_server.scheduler import Scheduler, Work
from inference_server.streams import actions
from inference_server.streams.state import StreamState
from tests.edge_client.models import FakeEncoder, shipped_like
from wire.exceptions import ArtoveqError, ServerError, ServerUnavailable
from wire.generated import remote_inference_pb2 as pb
from wire.payload import PayloadCodec
from wire.tasks import task_of

PICTURE = np.zeros((8, 8, 3), np.uint8)
COMPETING_PACKET_BITS = 8 * 250
CLOCK_OFFSET_S = 5000.0
"""Of the server's clock."""
CALLER = "edge"


@dataclass(frozen=True)
class Conditions:
    """What the uplink is like from now on: bits per second, seconds each way, shares of packets, bits per second that
    somebody else sends, and for how many seconds nothing comes back."""

    capacity: float
    delay: float = 0.01
    loss: float = 0.0
    jitter: float = 0.0
    competing: float = 0.0
    feedback_stops: float = 0.0


@dataclass(frozen=True)
class Pictures:
    """From now on a picture is taken so often, in seconds; it is not sent where the last one is still on its way."""

    every: float
    budget: float = 0.1
    mode: Mode = field(default_factory=OneShot)


@dataclass(frozen=True)
class Run:
    """Time passes, in seconds."""

    seconds: float


@dataclass(frozen=True)
class Check:
    """What must hold of everything since the last check."""

    says: str
    holds: Callable[[Seen], bool]


Step = Conditions | Pictures | Run | Check


@dataclass
class Taken:
    """A picture, and what became of it."""

    at: float
    result: Result | None = None
    failed: bool = False


@dataclass
class Seen:
    """Pictures that were taken, and what the client makes of the link. A late answer is worth nothing."""

    pictures: list[Taken]
    capacity: float
    metric: Callable[[int], float]
    messages: int = 0
    """From the edge."""

    def __str__(self) -> str:
        return f"{self.met:.3f} in time, worth {self.worth:.3f}, {self.capacity:.0f} bit/s, points {self.points[-9:]}"

    @property
    def results(self) -> list[Result]:
        """Of pictures that were answered."""
        return [taken.result for taken in self.pictures if taken.result is not None]

    @property
    def met(self) -> float:
        """The share of pictures that were answered in time."""
        return mean(taken.result is not None and taken.result.deadline_met for taken in self.pictures)

    @property
    def worth(self) -> float:
        """The mean metric of what was there in time."""

        def of(taken: Taken) -> float:
            result = taken.result
            in_time = [one for one in result.answers if one.after <= result.budget] if result else []
            return self.metric(in_time[-1].point) if in_time else 0.0

        return mean(of(taken) for taken in self.pictures)

    @property
    def points(self) -> list[int]:
        """What the newest answers were made from."""
        return [result.answers[-1].point for result in self.results]


class Server:
    """A peer for `MemoryTransport`: the server's pure core in the loop's time, with one decoder for all streams."""

    def __init__(
        self, codec: PayloadCodec, *, decode_s: float = 0.002, most_pictures: int = 256, age_s: float = math.inf
    ) -> None:
        self._codec, self._decode_s, self._most, self._age_s = codec, decode_s, most_pictures, age_s
        self.answered: list[tuple[int, int]] = []
        """Stream and number of each picture that had its last answer."""
        self._numbers: dict[StreamState, int] = {}
        self._task, self._manifest = task_of(codec.manifest), codec.manifest
        self._scheduler = Scheduler(batch_pictures=64, caller_pictures=64, window=0.0, queue_pictures=1024)
        self.messages = 0
        metric = np.array([0.0, *(point.metric for point in codec.manifest.points)], np.float32)
        pictures = np.zeros((len(metric), 3, 4, 4), np.float32)
        self._outputs = np.stack([metric, 1 - metric], 1) if codec.manifest.task.classes else pictures
        self.streams: list[Respond] = []

    def __call__(self, respond: Respond) -> Callable[[pb.StreamRequest | None], None]:
        self._loop = asyncio.get_running_loop()
        self.streams.append(respond)
        moves = self._age_s < math.inf
        state = StreamState(
            self._codec,
            self._task,
            admit=lambda now: None,
            most_pictures=self._most,
            bundles=True,
            moves=moves,
            age_s=self._age_s,
            now=self._now(),
        )
        self._numbers[state] = len(self.streams)
        if moves:
            self._loop.call_later(self._age_s, self._time_passed, state, respond)

        def receive(request: pb.StreamRequest | None) -> None:
            if request is None:
                self._perform(state, respond, state.close())
            elif request.HasField("hello"):
                welcome = pb.Welcome(reads_coded=self._codec.coder is not None, reads_bundles=True)
                respond(pb.StreamResponse(welcome=welcome))
            else:
                self.messages += 1
                self._perform(state, respond, state.receive(request, self._now()))

        return receive

    def _time_passed(self, state: StreamState, respond: Respond) -> None:
        self._perform(state, respond, state.time_passed(self._now()))
        if (due := state.due) < math.inf:
            self._loop.call_later(due - self._now(), self._time_passed, state, respond)

    def _now(self) -> float:
        return self._loop.time() + CLOCK_OFFSET_S

    def _perform(self, state: StreamState, respond: Respond, wanted: list[actions.Action]) -> None:
        responses = [action.response for action in wanted if isinstance(action, actions.Respond)]
        for action in wanted:
            if isinstance(action, actions.Decode):
                self._decode(state, respond, action)
            elif isinstance(action, actions.Withdraw):
                self._scheduler.withdraw(CALLER, state, action.picture_id)
            elif isinstance(action, actions.Completed):
                self.answered.append((self._numbers[state], action.picture_id))
            elif isinstance(action, actions.End):
                respond(ServerUnavailable("The server ended the stream."))
        if len(responses) == 1:
            respond(responses[0])
        elif responses:
            respond(pb.StreamResponse(bundle=pb.ResponseBundle(responses=responses)))

    def _decode(self, state: StreamState, respond: Respond, action: actions.Decode) -> None:
        def deliver(outcome: Decoded | ArtoveqError) -> None:
            assert isinstance(outcome, Decoded)
            self._perform(state, respond, state.decoded(action.picture_id, outcome, self._now()))

        owner: Hashable = state
        work = Work(CALLER, action.point, action.newest, self._now(), deliver)
        self._scheduler.submit(owner, action.picture_id, work)
        self._feed()

    def _feed(self) -> None:
        while (batch := self._scheduler.next_batch(self._now())) is not None:
            self._loop.call_later(self._decode_s, self._decoded, batch, self._now())

    def _decoded(self, batch: list[Work], began: float) -> None:
        self._scheduler.finished(len(batch), self._decode_s)
        self._feed()
        for work in batch:
            work.deliver(Decoded(work.point, self._outputs[work.point], began - work.since, self._decode_s))


def run(
    plan: Sequence[Step], *, encoder: Encoder | None = None, policy: RatePolicy | None = None, seed: int = 0
) -> Seen:
    """Follows a plan; AssertionError names the check that does not hold. Returns everything that was seen."""
    return run_in_virtual_time(_follow(plan, encoder or FakeEncoder(shipped_like()), policy, seed))


async def _follow(plan: Sequence[Step], encoder: Encoder, policy: RatePolicy | None, seed: int) -> Seen:
    loop = asyncio.get_running_loop()
    up, down = Shaper(CapacityTrace([(0.0, 1e9)]), seed=seed), Shaper(CapacityTrace([(0.0, 1e9)]), seed=seed + 1)
    server, taken, checked = Server(encoder.codec), list[Taken](), 0
    competing: asyncio.Task[None] | None = None
    pictures: Pictures | None = None
    busy: asyncio.Task[None] | None = None

    def seen(since: int) -> Seen:
        return Seen(taken[since:], client.capacity or 0.0, lambda n: encoder.manifest.point(n).metric, server.messages)

    def become(step: Conditions) -> None:
        up.trace, up.delay, up.loss, up.jitter = (
            CapacityTrace([(0.0, step.capacity)]), step.delay, step.loss, step.jitter,
        )  # fmt: skip
        down.delay = step.delay

    if isinstance(plan[0], Conditions):
        become(plan[0])
    async with AsyncClient(
        "memory", encoder, policy=policy, transport=lambda: MemoryTransport(server, up, down)
    ) as client:
        for step in plan:
            if isinstance(step, Conditions):
                become(step)
                down.hold(loop.time() + step.feedback_stops if step.feedback_stops else 0.0)
                if competing is not None:
                    competing.cancel()
                competing = asyncio.create_task(_compete(up, step.competing, seed)) if step.competing else None
            elif isinstance(step, Pictures):
                pictures = step
            elif isinstance(step, Check):
                now = seen(checked)
                assert step.holds(now), (
                    f"{step.says}: {now.met:.3f} met, worth {now.worth:.3f}, {now.capacity:.0f} bit/s"
                )
                checked = len(taken)
            elif pictures is None:
                await asyncio.sleep(step.seconds)
            else:
                began = loop.time()
                for k in range(round(step.seconds / pictures.every)):
                    if (pause := began + k * pictures.every - loop.time()) > 0:
                        await asyncio.sleep(pause)
                    taken.append(Taken(loop.time()))
                    if busy is None or busy.done():
                        busy = asyncio.create_task(_predict(client, pictures, taken[-1]))
                if busy is not None:
                    await asyncio.wait([busy], timeout=max(0.0, began + step.seconds - loop.time()))
        if competing is not None:
            competing.cancel()
        if busy is not None:
            await asyncio.wait([busy])
        return seen(0)


async def _predict(client: AsyncClient, pictures: Pictures, taken: Taken) -> None:
    try:
        taken.result = await client.predict(PICTURE, pictures.mode, pictures.budget)
    except ServerError:
        taken.failed = True


async def _compete(up: Shaper, rate: float, seed: int) -> None:
    """Somebody else's packets in the same queue, at random times."""
    drawn = random.Random(seed)
    while True:
        await asyncio.sleep(drawn.expovariate(rate / COMPETING_PACKET_BITS))
        up.arrives(asyncio.get_running_loop().time(), COMPETING_PACKET_BITS)
