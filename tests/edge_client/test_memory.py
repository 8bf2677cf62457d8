"""The client over the in-memory transport, in virtual time: what it says, and what it makes of what it hears."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from edge_client import Answer, AsyncClient, File, OneShot, Progressive
from edge_client.client import ATTEMPTS
from edge_client.rate import Completed, Event, Link, Plan, Progress, RatedPoints, RatePolicy
from edge_client.transport.emulated import CapacityTrace, Shaper
from edge_client.transport.memory import MemoryTransport, run_in_virtual_time
from tests.edge_client.models import FakeEncoder, metric_of, nested_like, shipped_like
from tests.edge_client.plans import PICTURE, Server
from wire.exceptions import ModelMismatch, PointError, ServerUnavailable, UsageError
from wire.generated import remote_inference_pb2 as pb
from wire.manifest import Manifest

Use = Callable[[AsyncClient, Server], Awaitable[None]]


def use(
    what: Use, manifest: Manifest | None = None, *, policy: RatePolicy | None = None, capacity: float = 1e6
) -> None:
    """A client and its server, at the ends of a link."""

    async def main() -> None:
        encoder = FakeEncoder(manifest or shipped_like())
        server = Server(encoder.codec)
        up, down = (Shaper(CapacityTrace([(0.0, rate)]), delay=0.005) for rate in (capacity, 1e9))
        async with AsyncClient(
            "memory", encoder, policy=policy, transport=lambda: MemoryTransport(server, up, down)
        ) as client:
            await what(client, server)

    run_in_virtual_time(main())


def test_one_shot_and_progressive() -> None:
    seen: list[Answer] = []

    async def what(client: AsyncClient, server: Server) -> None:
        result = await client.predict(PICTURE, OneShot(point=16), budget="1s", top_k=2)
        assert (result.point, result.payload_bytes, len(result.answers)) == (16, 128, 1)
        answer = result.answers[0]
        assert answer.best.probability == pytest.approx(metric_of(128)) and len(answer.classes) == 2
        assert answer.final and answer.payload_bytes == 128 and answer.text.startswith("cat 8")
        assert answer.as_record()["class"] == result.as_record()["class"] == "cat"
        refined = await client.predict(PICTURE, Progressive(), budget=5, on_answer=seen.append)
        points = [one.point for one in refined.answers]
        assert points == sorted(set(points)) and seen == refined.answers
        assert seen[-1].final and refined.deadline_met and refined.point == points[-1] >= 60
        assert result.request_id != refined.request_id

    use(what)


def test_progressive_ends_early_or_where_it_is_told() -> None:
    async def what(client: AsyncClient, server: Server) -> None:
        client.control.estimator.capacity = None  # else all of it goes at once
        sure = await client.predict(PICTURE, Progressive(min_confidence=0.6), budget=5)
        assert sure.answers[-1].confidence >= 0.6 and sure.payload_bytes < 300
        some = await client.predict(PICTURE, Progressive(point=20), budget=5)
        assert some.answers[-1].point == some.point == 20 and some.answers[-1].final
        late = await client.predict(PICTURE, Progressive(), budget=1e-4)
        assert len(late.answers) == 1 and not late.deadline_met and late.payload_bytes < 100
        await client.predict(PICTURE, OneShot(point=8))

    use(what, capacity=20_000)


def test_the_whole_picture_is_encoded_once_and_its_prefix_is_sent() -> None:
    async def what(client: AsyncClient, server: Server) -> None:
        encoder = client.encoder
        assert isinstance(encoder, FakeEncoder)
        before = encoder.encoded
        for _ in range(5):
            await client.predict(PICTURE)
        assert encoder.encoded == before + 5

    use(what)
    use(what, nested_like())


def test_what_the_model_lacks_is_refused_before_anything_is_sent() -> None:
    async def what(client: AsyncClient, server: Server) -> None:
        before = server.messages
        with pytest.raises(PointError, match="Point 65 does not exist"):
            await client.predict(PICTURE, OneShot(point=65))
        with pytest.raises(PointError, match="figures for files are not known"):
            await client.predict(PICTURE, File())
        wrong: Any
        for wrong in ({"mode": "one-shot"}, {"budget": "soon"}, {"top_k": 0}):
            with pytest.raises(UsageError):
                await client.predict(PICTURE, **wrong)
        with pytest.raises(UsageError):
            await client.predict(3)  # type: ignore[arg-type]
        assert server.messages == before

    use(what)


def test_a_model_that_is_not_refinable_answers_one_shot_alone() -> None:
    async def what(client: AsyncClient, server: Server) -> None:
        assert (await client.predict(PICTURE, OneShot(point=8))).answers[-1].point == 8
        with pytest.raises(PointError, match="is not refinable"):
            await client.predict(PICTURE, Progressive())

    use(what, nested_like())


class Planned:
    """A policy of a user's: says what it was told to, and keeps what it hears."""

    def __init__(self, *plans: Plan) -> None:
        self.plans, self.events = list(plans), list[Event]()

    def plan(self, points: RatedPoints, link: Link, deadline: float, now: float) -> Plan:
        assert deadline > now and all(point.bits > 0 for point in points)
        return self.plans[0]

    def observe(self, event: Event) -> Plan | None:
        self.events.append(event)
        return self.plans.pop(1) if isinstance(event, Progress) and len(self.plans) > 1 else None


def test_a_policy_of_the_users() -> None:
    policy = Planned(Plan(40, (3,)), Plan(40, (9,)), Plan(40, (40,)))

    async def what(client: AsyncClient, server: Server) -> None:
        streamed = await client.predict(PICTURE, budget=1)
        assert [answer.point for answer in streamed.answers][-1] == 40
        policy.plans = [Plan(12)]
        assert (await client.predict(PICTURE, budget=1)).answers[-1].point == 12
        completed = [event for event in policy.events if isinstance(event, Completed)]
        assert [event.answers[-1][0] for event in completed] == [40, 12]
        assert all(event.now >= event.answers[-1][1] for event in completed)

    use(what, policy=policy)


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        (Plan(99), "The policy planned point 99; the points of none are 1 to 64"),
        (Plan(), "The policy planned point 0"),
        (Plan(64, (65,)), "The policy planned planes 1 to 65"),
        (Plan(64, (5, 5)), "The policy planned planes 6 to 5"),
    ],
)
def test_a_policy_that_plans_what_the_model_lacks_gets_a_sentence(plan: Plan, says: str) -> None:
    async def what(client: AsyncClient, server: Server) -> None:
        with pytest.raises(PointError, match=says):
            await client.predict(PICTURE, budget=1)
        client.policy = None
        assert (await client.predict(PICTURE, budget=1)).answers  # nothing is lost

    use(what, policy=Planned(plan))


def test_pictures_of_many_callers_share_messages() -> None:
    async def what(client: AsyncClient, server: Server) -> None:
        before = server.messages
        results = await asyncio.gather(*(client.predict(PICTURE, OneShot(point=16), 5) for _ in range(20)))
        assert server.messages - before <= 4
        assert len({result.request_id for result in results}) == 20
        modes = (OneShot(point=16), OneShot(point=40), Progressive(), OneShot())
        mixed = await asyncio.gather(*(client.predict(PICTURE, modes[i % 4], 5) for i in range(40)))
        assert [mixed[i].answers[-1].point for i in (0, 1, 4, 5)] == [16, 40, 16, 40]

    use(what, capacity=1e7)


def test_a_picture_that_is_sent_again_does_not_repeat_its_answers() -> None:
    """The stream breaks after the first answer; over the next one all its planes come again."""
    seen: list[Answer] = []

    async def what(client: AsyncClient, server: Server) -> None:
        def note(answer: Answer) -> None:
            seen.append(answer)
            if len(seen) == 1:
                server.streams[-1](ServerUnavailable("The stream broke."))

        client.control.estimator.capacity = None  # else all of it goes at once
        result = await client.predict(PICTURE, Progressive(), budget=5, on_answer=note)
        assert len(server.streams) == 2
        points = [answer.point for answer in seen]
        assert points == sorted(set(points)) and len(points) > 1 and result.answers == seen
        assert seen[-1].final

    use(what, capacity=20_000)


def test_a_stream_that_breaks_again_and_again_is_an_error() -> None:
    async def what(client: AsyncClient, server: Server) -> None:
        asking = asyncio.create_task(client.predict(PICTURE, OneShot(point=64), 5))
        await asyncio.sleep(0.001)
        for _ in range(ATTEMPTS - 1):
            before = client._session._connection
            server.streams[-1](ServerUnavailable("The stream broke."))
            for _ in range(1000):  # what breaks while it opens would be opened again
                await asyncio.sleep(0.001)
                if client._session._connection is not before:
                    break
        server.streams[-1](ServerUnavailable("The stream broke."))
        with pytest.raises(ServerUnavailable, match="The stream broke"):
            await asking
        assert (await client.predict(PICTURE, budget=5)).answers

    use(what, capacity=20_000)


def test_what_is_given_up_is_not_waited_for() -> None:
    async def what(client: AsyncClient, server: Server) -> None:
        asking = asyncio.create_task(client.predict(PICTURE, OneShot(point=64), 5))
        await asyncio.sleep(0.01)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert (await client.predict(PICTURE, OneShot(point=8), 5)).answers[-1].point == 8

    use(what, capacity=20_000)


def test_an_answer_that_never_comes_is_an_error_in_the_end() -> None:
    def deaf(respond: Callable[[Any], None]) -> Callable[[pb.StreamRequest | None], None]:
        respond(pb.StreamResponse(welcome=pb.Welcome(reads_bundles=True)))
        return lambda request: None

    async def main() -> None:
        encoder = FakeEncoder(shipped_like())
        async with AsyncClient("memory", encoder, transport=lambda: MemoryTransport(deaf)) as client:
            with pytest.raises(ServerUnavailable, match="No answer came within 30 s"):
                await client.predict(PICTURE)

    run_in_virtual_time(main())


def test_a_server_that_says_nothing_or_no_is_an_error() -> None:
    def silent(respond: Callable[[Any], None]) -> Callable[[pb.StreamRequest | None], None]:
        return lambda request: None

    def refusing(respond: Callable[[Any], None]) -> Callable[[pb.StreamRequest | None], None]:
        respond(ModelMismatch("Another model is served here."))
        return lambda request: None

    async def main() -> None:
        encoder = FakeEncoder(shipped_like())
        with pytest.raises(ServerUnavailable, match="No server answers at memory"):
            await AsyncClient("memory", encoder, transport=lambda: MemoryTransport(silent)).__aenter__()
        with pytest.raises(ModelMismatch, match="Another model"):
            await AsyncClient("memory", encoder, transport=lambda: MemoryTransport(refusing)).__aenter__()

    run_in_virtual_time(main())


def test_a_client_is_of_no_use_before_it_is_entered() -> None:
    with pytest.raises(UsageError, match="use it in a `with`"):
        _ = AsyncClient("nowhere").encoder
    with pytest.raises(UsageError, match="give the model"):
        AsyncClient("nowhere", transport=lambda: MemoryTransport(lambda respond: lambda request: None))


@pytest.mark.parametrize("capacity", [3_000, 40_000, 300_000])
def test_the_first_picture_already_knows_the_link(capacity: float) -> None:
    async def what(client: AsyncClient, server: Server) -> None:
        assert client.capacity == pytest.approx(capacity, rel=0.1)
        first = await client.predict(PICTURE, OneShot(), budget=1)
        assert first.deadline_met
        fits = [point for point in client.encoder.manifest.points if 8 * point.payload_bytes < 0.4 * capacity]
        assert first.payload_bytes >= min(fits[-1].payload_bytes, 300)

    use(what, capacity=capacity)


def test_what_small_pictures_do_not_tell_a_probe_does() -> None:
    async def main(probe: float) -> float:
        encoder = FakeEncoder(shipped_like())
        becomes_fast = CapacityTrace([(0.0, 20_000), (1.0, 2_000_000)])
        server, up = Server(encoder.codec), Shaper(becomes_fast, delay=0.005)
        async with AsyncClient("memory", encoder, probe=probe, transport=lambda: MemoryTransport(server, up)) as client:
            for _ in range(40):
                await client.predict(PICTURE, OneShot(point=1), budget=1)
                await asyncio.sleep(0.5)
            return client.capacity or 0.0

    without, probed = run_in_virtual_time(main(0.0)), run_in_virtual_time(main(40.0))
    assert without < 500_000 and 900_000 < probed < 2_300_000
