"""Replicas that remember answers together: in virtual time, and two servers with a real Redis."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import grpc
import pytest

from edge_client.transport.memory import run_in_virtual_time
from inference_server import metrics
from inference_server.redis_store import RedisStore
from inference_server.settings import read_settings
from inference_server.shared_answers import CLAIM_S, LEFT_ALONE_S, SharedAnswers, StoreAway, shared_answers
from tests import tiny
from tests.inference_server.serving import serving
from wire.artifact import Artifact
from wire.exceptions import ProtocolError, ServerOverloaded, SettingsError
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub as Stub
from wire.payload import PayloadCodec

ASKED, OTHER = bytes(32), bytes([1]) * 32
KEPT_S = 3600.0


class InMemory:
    """A store whose answers take 10 ms, unless it is away."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, bytes], tuple[bytes, float]] = {}
        self.away, self.asked = False, 0

    async def claim(self, caller: str, key: bytes, value: bytes, seconds: float) -> bytes | None:
        now = await self._now()
        found, until = self._values.get((caller, key), (b"", -math.inf))
        if now < until:
            return found
        self._values[caller, key] = value, now + seconds
        return None

    async def put(self, caller: str, key: bytes, value: bytes, seconds: float) -> None:
        self._values[caller, key] = value, await self._now() + seconds

    async def release(self, caller: str, key: bytes, value: bytes) -> None:
        await self._now()
        if self._values.get((caller, key), (b"", 0.0))[0] == value:
            del self._values[caller, key]

    async def close(self) -> None:
        pass

    async def _now(self) -> float:
        self.asked += 1
        if self.away:
            raise StoreAway("away")
        await asyncio.sleep(0.01)
        return asyncio.get_running_loop().time()


class Replicas:
    """Two of them with one store, and what they make."""

    def __init__(self, *, required: bool = True) -> None:
        self.store, self.made = InMemory(), list[int]()
        self._replicas = [SharedAnswers(self.store, seconds=KEPT_S, required=required) for _ in range(2)]
        self.fails = False

    async def get(
        self, replica: int, key: bytes = b"key", asked: bytes = ASKED, seconds: float = 1.0, caller: str = "me"
    ) -> bytes:
        async def make() -> bytes:
            self.made.append(replica)
            await asyncio.sleep(seconds)
            if self.fails:
                raise ServerOverloaded("Full.")
            return b"answer %d" % replica

        return await self._replicas[replica].get(caller, key, asked, make)


def run(use: Callable[[Replicas], Awaitable[None]], *, required: bool = True) -> None:
    async def main() -> None:
        await use(Replicas(required=required))

    run_in_virtual_time(main())


def test_one_of_them_makes_an_answer_and_both_repeat_it() -> None:
    async def use(replicas: Replicas) -> None:
        assert await asyncio.gather(replicas.get(0), replicas.get(1)) == [b"answer 0"] * 2
        assert await replicas.get(1) == b"answer 0" and replicas.made == [0]
        assert await replicas.get(1, b"another") == b"answer 1"
        await asyncio.sleep(KEPT_S)
        assert await replicas.get(1) == b"answer 1" and replicas.made == [0, 1, 1]

    run(use)


def test_a_key_is_its_callers_alone() -> None:
    async def use(replicas: Replicas) -> None:
        assert await replicas.get(0) == b"answer 0"
        assert await replicas.get(1, asked=OTHER, caller="another") == b"answer 1" and replicas.made == [0, 1]

    run(use)


def test_what_a_dead_replica_was_making_is_made_by_another() -> None:
    async def use(replicas: Replicas) -> None:
        await replicas.store.claim("me", b"key", b"\0" + ASKED + b"of the dead", CLAIM_S)
        began = asyncio.get_running_loop().time()
        assert await replicas.get(1) == b"answer 1"
        assert CLAIM_S < asyncio.get_running_loop().time() - began < CLAIM_S + 1.5

    run(use)


def test_a_failure_is_nobodys_answer() -> None:
    async def use(replicas: Replicas) -> None:
        replicas.fails = True
        with pytest.raises(ServerOverloaded):
            await replicas.get(0)
        replicas.fails = False
        assert await replicas.get(1) == b"answer 1"

    run(use)


@pytest.mark.parametrize("made", [True, False])
def test_a_key_is_bound_to_what_was_asked_of_any_of_them(made: bool) -> None:
    async def use(replicas: Replicas) -> None:
        first = asyncio.create_task(replicas.get(0))
        await asyncio.sleep(5.0 if made else 0.5)
        with pytest.raises(ProtocolError, match="used for another picture"):
            await replicas.get(1, asked=OTHER)
        assert await first == b"answer 0" and replicas.made == [0]

    run(use)


def test_without_the_store_nothing_is_answered_where_it_is_required() -> None:
    async def use(replicas: Replicas) -> None:
        before = metrics.STORE_AWAY._value.get()
        replicas.store.away = True
        with pytest.raises(StoreAway, match="send it again later"):
            await replicas.get(0)
        replicas.store.away = False
        assert replicas.made == [] and await replicas.get(0) == b"answer 0"
        assert metrics.STORE_AWAY._value.get() == before + 1

    run(use)


def test_without_the_store_answers_go_on_where_it_is_not() -> None:
    async def use(replicas: Replicas) -> None:
        replicas.store.away = True
        for replica in (0, 1, 0):
            assert await replicas.get(replica, seconds=0.1) == b"answer %d" % replica
        assert replicas.made == [0, 1, 0] and replicas.store.asked == 2  # it is left alone for a while
        replicas.store.away = False
        await asyncio.sleep(LEFT_ALONE_S)
        assert await replicas.get(0) == await replicas.get(1) == b"answer 0" and replicas.made == [0, 1, 0, 0]

    run(use, required=False)


@pytest.mark.parametrize("fails", [True, False])
def test_what_is_made_is_answered_though_the_store_goes_meanwhile(fails: bool) -> None:
    async def use(replicas: Replicas) -> None:
        replicas.fails = fails
        asked = asyncio.create_task(replicas.get(0))
        await asyncio.sleep(0.5)
        replicas.store.away = True
        with pytest.raises(ServerOverloaded) if fails else contextlib.nullcontext():
            assert await asked == b"answer 0"

    run(use)


def test_a_value_of_somebody_else_is_no_answer() -> None:
    async def use(replicas: Replicas) -> None:
        await replicas.store.put("me", b"key", b"\1short", KEPT_S)
        with pytest.raises(StoreAway):
            await replicas.get(0)

    run(use)


def test_an_address_that_is_none_is_refused_without_its_password() -> None:
    with pytest.raises(SettingsError, match="redis://HOST:PORT/0") as refused:
        shared_answers(read_settings(model="nowhere", store="http://user:secret@host"))
    assert "secret" not in str(refused.value)
    assert shared_answers(read_settings(model="nowhere")) is None


class Redis:
    """A real server, which can be stopped, killed and started again."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._folder, self.url = folder, f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen([*command, "--dir", str(self._folder)], stdout=subprocess.DEVNULL)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.02)
        raise AssertionError("Redis does not start.")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.mark.slow
@pytest.mark.redis
@pytest.mark.parametrize("away", ["refuse", "answer"])
def test_two_servers_answer_a_picture_once_between_them(progressive: Artifact, redis: Redis, away: str) -> None:
    codec, point = PayloadCodec(progressive.manifest), 4
    colours = dict(zip(tiny.CLASSES, range(len(tiny.CLASSES)), strict=True))
    settings = {"store": redis.url, "store_away": away, "store_seconds": 0.5}
    counted = metrics.PICTURES.labels(progressive.manifest.name, str(point))._value

    def request(key: bytes, colour: str = "red") -> pb.PredictRequest:
        indices = tiny.indices_of(tiny.picture(colour), progressive.manifest.point(point).sizes)
        data, packed = codec.write_block(indices, point)
        fingerprint = progressive.manifest.fingerprint
        return pb.PredictRequest(fingerprint=fingerprint, point=point, data=data, packed=packed, key=key)

    with contextlib.ExitStack() as stack:
        stubs = []
        for _ in range(2):
            server = stack.enter_context(serving(progressive.folder, **settings))
            stubs.append(Stub(stack.enter_context(grpc.insecure_channel(server.address))))
        before = counted.get()
        asked = [stub.Predict.future(request(b"1")) for stub in stubs for _ in range(10)]
        answers = [one.result().answer for one in asked]
        assert all(one == answers[0] for one in answers) and counted.get() == before + 1
        assert answers[0].classification.classes[0].index == colours["red"]
        with pytest.raises(grpc.RpcError) as refused:
            stubs[1].Predict(request(b"1", "green"))
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT

        redis.process.send_signal(signal.SIGSTOP)  # late, for ever
        _without(stubs[0], request(b"2"), away)
        assert stubs[0].Predict(request(b"")).answer  # without a key nothing is promised
        redis.process.send_signal(signal.SIGCONT)
        redis.kill()
        time.sleep(LEFT_ALONE_S)
        _without(stubs[0], request(b"3"), away)
        assert stubs[0].Predict(request(b"1")).answer == answers[0]  # that it remembers itself

        redis.start()
        time.sleep(LEFT_ALONE_S)
        before = counted.get()
        first, second = (stub.Predict(request(b"4")).answer for stub in stubs)
        assert first == second and counted.get() == before + 1


def _without(stub: Stub, request: pb.PredictRequest, away: str) -> None:
    began = time.monotonic()
    if away == "answer":
        assert stub.Predict(request).answer
    else:
        with pytest.raises(grpc.RpcError) as refused:
            stub.Predict(request)
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE and "again later" in refused.value.details()
    assert time.monotonic() - began < 5.0


@pytest.mark.slow
@pytest.mark.redis
def test_a_claim_is_released_by_whose_it_is_alone(redis: Redis) -> None:
    async def use() -> None:
        store = RedisStore(redis.url, 5.0)
        assert await store.claim("me", b"k", b"ours", 60.0) is None
        assert await store.claim("me", b"k", b"theirs", 60.0) == b"ours"
        await store.release("me", b"k", b"theirs")
        assert await store.claim("me", b"k", b"theirs", 60.0) == b"ours"
        assert await store.claim("another", b"k", b"theirs", 60.0) is None
        await store.release("me", b"k", b"ours")
        assert await store.claim("me", b"k", b"theirs", 0.05) is None
        await asyncio.sleep(0.1)
        assert await store.claim("me", b"k", b"ours", 60.0) is None
        await store.close()

    asyncio.run(use())
