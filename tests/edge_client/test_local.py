"""Point 0: the edge's own answer comes first, and stands where no other one comes in time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_client import Answer, AsyncClient, File, OneShot, Progressive
from edge_client.connection import Connection
from edge_client.encoder import Encoder
from edge_client.rate import NOTHING, Event, Link, Plan, RatedPoints
from tests import tiny
from tests.edge_client.models import FakeEncoder, headed_like, nested_like, shipped_like
from tests.edge_client.plans import PICTURE, Conditions, Pictures, Run, Seen, Server, run
from tests.edge_client.test_memory import use
from wire.artifact import values_of, write_artifact
from wire.exceptions import ArtifactError, PointError, ServerUnavailable, UsageError
from wire.generated import remote_inference_pb2 as pb
from wire.local_head import local_outputs
from wire.manifest import Manifest
from wire.tasks.classification import ClassificationTask


def test_alone_it_takes_no_byte_and_no_server() -> None:
    async def what(client: AsyncClient, server: Server) -> None:
        before = server.messages
        result = await client.predict(PICTURE, OneShot(point=0), top_k=2)
        assert (result.point, result.payload_bytes, result.sizes, server.messages) == (0, 0, (), before)
        assert result.local and result.answers[0].final and len(result.answers[0].classes) == 2
        assert result.as_record()["local"] and result.as_record()["answers"][0]["point"] == 0

    use(what, headed_like())


def test_a_model_without_a_head_says_so() -> None:
    async def what(client: AsyncClient, server: Server) -> None:
        with pytest.raises(PointError, match=r"none has no local head, so that .* `artoveq local-head`"):
            await client.predict(PICTURE, OneShot(point=0))
        assert not (await client.predict(PICTURE)).local

    use(what, shipped_like())
    use(what, nested_like())


def test_it_comes_first_and_the_servers_takes_its_place() -> None:
    seen: list[Answer] = []

    async def what(client: AsyncClient, server: Server) -> None:
        for mode in (OneShot(), Progressive()):
            seen.clear()
            result = await client.predict(PICTURE, mode, budget=1, on_answer=seen.append)
            assert seen == result.answers and seen[0].local and not seen[0].final and seen[0].after < seen[1].after
            assert not result.local and result.timed is seen[1] and result.payload_bytes > 0

    use(what, headed_like())


def test_what_gives_less_than_it_is_not_sent() -> None:
    """Though the cheapest points would be likelier in time."""
    encoder = FakeEncoder(headed_like(0.7))
    seen = run([Conditions(10_000), Pictures(1, 0.25), Run(30)], encoder=encoder)
    points = {one.point for result in seen.results for one in result.served}
    assert all(encoder.manifest.point(number).metric > 0.7 for number in points)
    assert points


def test_a_server_cannot_pass_for_the_edge() -> None:
    answer = pb.Answer(point=0)
    answer.classification.classes.add(index=0, name="cat", probability=1.0)
    assert not Answer.from_message(answer, ClassificationTask(), 0.1, 0).local


def test_a_point_that_is_named_is_waited_for() -> None:
    async def what(client: AsyncClient, server: Server) -> None:
        result = await client.predict(PICTURE, OneShot(point=64), budget=0.01)
        assert [answer.point for answer in result.answers] == [64] and not result.deadline_met

    use(what, headed_like(), capacity=20_000)


def test_the_picture_is_encoded_once() -> None:
    async def what(client: AsyncClient, server: Server) -> None:
        encoder = client.encoder
        assert isinstance(encoder, FakeEncoder)
        before = encoder.encoded
        await client.predict(PICTURE)
        await client.predict(PICTURE, Progressive())
        assert encoder.encoded == before + 2

    use(what, headed_like())


def test_it_stands_at_the_deadline_and_the_link_is_known_to_be_slow() -> None:
    encoder = FakeEncoder(headed_like())
    seen = run([Conditions(1e6), Pictures(1, 0.2), Run(5), Conditions(400.0), Run(20)], encoder=encoder)
    slow = seen.results[6:]
    assert slow and all(one.local and one.latency < 0.2 and one.error is None for one in slow)
    assert not any(one.local for one in seen.results[:5])
    assert seen.capacity < 2_000
    assert seen.met == 1


def test_it_stands_where_nobody_answers_with_the_reason() -> None:
    async def what(client: AsyncClient, server: Server) -> None:
        assert client._session._connection is not None
        await client._session._connection.close()

        async def nobody(channel: object) -> None:
            raise ServerUnavailable("Nobody answers.")

        client._session._open = nobody  # type: ignore[method-assign, assignment]
        result = await client.predict(PICTURE, budget=0.2)
        assert result.local and str(result.error) == "Nobody answers."
        assert result.as_record()["unanswered"] == "Nobody answers."

    use(what, headed_like())


def test_a_connection_is_waited_for_until_the_deadline_and_opens_for_those_to_come() -> None:
    async def what(client: AsyncClient, server: Server) -> None:
        assert client._session._connection is not None
        await client._session._connection.close()
        opened = client._session._open

        async def slowly(channel: Any) -> Connection:
            await asyncio.sleep(1)
            return await opened(channel)

        client._session._open = slowly  # type: ignore[method-assign, assignment]
        began = asyncio.get_running_loop().time()
        result = await client.predict(PICTURE, budget=0.2)
        assert result.local and "within the budget" in str(result.error)
        assert asyncio.get_running_loop().time() == pytest.approx(began + 0.2, abs=0.01)
        await asyncio.sleep(1)
        assert not (await client.predict(PICTURE, budget=0.2)).local

    use(what, headed_like())


def cascade(sure: float, *, headed: bool = True, budget: float = 5.0) -> Seen:
    """Ten pictures whose local answer is so sure, with a threshold of 0.7."""
    encoder = FakeEncoder(headed_like() if headed else shipped_like())
    encoder.sure = sure
    mode = Progressive(min_confidence=0.7)
    return run([Conditions(1e6), Pictures(budget + 1, budget, mode), Run(10 * (budget + 1))], encoder=encoder)


def test_nothing_is_sent_where_it_is_sure_and_run_after_run_where_it_is_not() -> None:
    for result in cascade(0.9).results:
        assert result.local and result.payload_bytes == 0 and result.answers[0].final
    for result in cascade(0.5).results:
        assert [one.confidence >= 0.7 for one in result.answers] == [False] * (len(result.answers) - 1) + [True]
        assert result.payload_bytes == result.answers[-1].payload_bytes < 200  # no run goes before it is needed
        # What gives less than the edge's own answer is not sent alone.
        assert all(headed_like().point(one.point).metric > 0.6 for one in result.served)


def test_without_time_for_another_round_no_answer_is_waited_for() -> None:
    patient, hurried = (cascade(0.5, headed=False, budget=budget).results[1:] for budget in (5.0, 0.03))
    assert all(len(one.answers) > 1 for one in patient)
    assert all(len(one.answers) == 1 and one.deadline_met for one in hurried)
    assert min(one.payload_bytes for one in hurried) > max(one.payload_bytes for one in patient)


class Nothing:
    """A policy that never sends."""

    def plan(self, points: RatedPoints, link: Link, deadline: float, now: float) -> Plan:
        return NOTHING

    def observe(self, event: Event) -> None:
        return None


@pytest.mark.parametrize("manifest", [headed_like(), nested_like()], ids=["headed", "nested"])
def test_a_policy_may_plan_point_0_where_there_is_one(manifest: Manifest) -> None:
    async def what(client: AsyncClient, server: Server) -> None:
        if manifest.local_head is None:
            with pytest.raises(PointError, match="planned point 0; none has no local head"):
                await client.predict(PICTURE)
            return
        result = await client.predict(PICTURE)
        assert result.local and (result.point, result.payload_bytes, result.sizes) == (0, 0, ())

    use(what, manifest, policy=Nothing())


def test_files_and_wrong_points() -> None:
    with pytest.raises(UsageError, match="number from 0"):
        OneShot(point=-1)
    with pytest.raises(UsageError, match="number from 1"):
        Progressive(point=0)

    async def what(client: AsyncClient, server: Server) -> None:
        with pytest.raises(PointError, match="figures for files"):
            await client.predict(PICTURE, File())

    use(what, headed_like())


def test_the_head_in_the_encoders_own_file(tmp_path: Path) -> None:
    artifact = tiny.progressive(tmp_path / "model", local=True)
    encoder = Encoder(artifact)
    pictures = np.stack([tiny.picture(colour) for colour in tiny.CLASSES])
    indices, answers = encoder.answer_batch(pictures)
    assert (indices == encoder.encode_batch(pictures, encoder.finest)).all()
    assert answers.argmax(1).tolist() == [0, 1, 2, 3] and answers.sum(1) == pytest.approx(1)
    logits = np.log(answers)
    assert logits[0, 0] - logits[0, 3] == pytest.approx(16 * 127.5 / 256 / 2 * 2, rel=0.01)  # temperature 2

    values = values_of(artifact.manifest)
    files = {name: artifact.read(name) for name in artifact.manifest.files}
    bare = write_artifact(tmp_path / "bare", {**values, "local_head": None}, files)
    with pytest.raises(PointError, match="no local head"):
        Encoder(bare).answer_batch(pictures)
    headless = tiny.progressive(tmp_path / "headless")
    files = {name: headless.read(name) for name in headless.manifest.files}
    lying = write_artifact(tmp_path / "lying", values, files)
    with pytest.raises(ArtifactError, match="cannot be run"):
        Encoder(lying).answer_batch(pictures)


@pytest.mark.parametrize(
    "logits", [np.zeros((1, 3), np.float32), np.zeros((1, 2)), np.full((1, 2), np.nan, np.float32)], ids=str
)
def test_what_is_no_answer_is_not_taken_for_one(logits: np.ndarray) -> None:
    with pytest.raises(ArtifactError, match="local head of none gives"):
        local_outputs(headed_like(), logits, 1)
