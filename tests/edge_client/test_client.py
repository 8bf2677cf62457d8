"""The client against real servers, also ones that lie, die or are not there."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from artoveq.demo.relay import Relay
from artoveq.processes import ServerProcess, server_process
from edge_client import AsyncClient, Client, File, OneShot, Progressive
from edge_client.modes import Mode, point_for
from edge_client.rate import LinkEstimator
from edge_client.transport.emulated import CapacityTrace
from tests.conftest import MODEL, NESTED, PICTURES
from wire.artifact import Artifact, load_artifact
from wire.cache import cache_folder
from wire.exceptions import ModelMismatch, PointError, ServerUnavailable
from wire.manifest import ENCODER
from wire.pictures import read_picture

DINGO = read_picture(PICTURES / "dingo.png")


MANIFEST = load_artifact(MODEL, edge=True).manifest


def at_level(level: int) -> OneShot:
    return OneShot(point_for(MANIFEST, level=level))


BEST = at_level(8)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_one_shot_and_progressive(server: ServerProcess) -> None:
    seen = []
    with Client(server.address, MODEL) as client:
        result = client.predict(DINGO, at_level(4), top_k=2)
        assert (result.best.name, result.point) == ("dingo", at_level(4).point) and 128 < result.payload_bytes < 256
        assert len(result.answers) == 1 and len(result.answers[0].classes) == 2
        refined = client.predict(DINGO, Progressive(), budget="5s", on_answer=seen.append)
        points = [answer.point for answer in refined.answers]  # a state that newer planes overtook is not decoded
        assert points == sorted(set(points)) and points[-1] == refined.point
        assert seen == refined.answers and seen[-1].final
        assert refined.best.name == "dingo" and refined.deadline_met


def test_edges_of_one_process_share_the_encoder_that_they_fetched(server: ServerProcess) -> None:
    with Client(server.address) as first, Client(server.address) as second:
        assert first.encoder is second.encoder
        with Client(server.address, MODEL) as third:
            assert third.encoder is not first.encoder  # a folder may have changed since
        with ThreadPoolExecutor(2) as threads:
            asked = [threads.submit(one.predict, DINGO, at_level(4), budget=5) for one in (first, second)]
            assert [one.result().best.name for one in asked] == ["dingo", "dingo"]


def test_an_edge_without_the_coder_sends_packed_bits(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(server.address) as client:
        coded = client.predict(DINGO, at_level(4), budget=5)
    monkeypatch.setattr("wire.range_coder.available", lambda: False)
    with Client(server.address, MODEL) as client:
        assert client.encoder.codec.coder is None
        packed = client.predict(DINGO, at_level(4), budget=5)
    assert coded.payload_bytes < packed.payload_bytes == 256
    assert coded.best.name == packed.best.name
    assert coded.best.probability == pytest.approx(packed.best.probability, abs=1e-3)


def test_on_a_fast_link_the_most_accurate_point_is_chosen_from_the_first_picture_on(server: ServerProcess) -> None:
    with Client(server.address, MODEL) as client:
        points = [client.predict(DINGO, budget=1.0).point for _ in range(3)]
    best = max(point.metric for point in MANIFEST.points)
    assert [MANIFEST.point(point).metric for point in points] == [best] * 3


@pytest.mark.slow
def test_on_a_slow_link_the_point_is_what_arrives_in_time(server: ServerProcess) -> None:
    async def run() -> None:
        async with (
            Relay(CapacityTrace([(0, 16_000)]), server.port) as link,
            AsyncClient(f"127.0.0.1:{link.port}", MODEL) as client,
        ):
            results = [await client.predict(DINGO, budget=0.25) for _ in range(8)]
            assert client.capacity is not None and 8_000 < client.capacity < 24_000
            assert all(result.payload_bytes < 400 for result in results)
            assert sum(result.deadline_met for result in results) >= 6
            refined = await client.predict(DINGO, Progressive(), budget=0.25)
            assert refined.deadline_met and refined.payload_bytes < 512
            sure = await client.predict(DINGO, Progressive(min_confidence=0.3), budget=5.0)
            assert sure.best.probability >= 0.3 and sure.payload_bytes < 512

    asyncio.run(run())


def test_what_has_not_arrived_by_the_deadline_tells_about_the_link(server: ServerProcess) -> None:
    """The first answer came at once, and then the link stalls."""

    async def run() -> None:
        async with (
            Relay(CapacityTrace([(0, 100_000)]), server.port) as link,
            AsyncClient(f"127.0.0.1:{link.port}", MODEL) as client,
        ):
            client.control.estimator = LinkEstimator()  # else all of it goes in one message
            await client.predict(DINGO, Progressive(), budget=0.2, on_answer=lambda _: link.cut(0.5))
            assert client.capacity is not None
            assert client.capacity < 50_000

    asyncio.run(run())


@pytest.mark.slow
def test_planes_that_a_link_turns_out_too_slow_for_are_not_sent(server: ServerProcess) -> None:
    """The edge takes it for ten times as fast, and knows better once the first message has arrived."""

    async def run() -> None:
        async with (
            Relay(CapacityTrace([(0, 1e6), (1, 8_000)]), server.port) as link,
            AsyncClient(f"127.0.0.1:{link.port}", MODEL) as client,
        ):
            link.restart()
            await client.predict(DINGO, budget=0.5)
            await asyncio.sleep(1)
            known = np.tile((0.01, 1.0, 80_000), (20, 1))
            client.control.estimator = LinkEstimator(80_000, outcomes=known)
            result = await client.predict(DINGO, Progressive(), budget=0.58)
            assert result.deadline_met and result.payload_bytes < 512

    asyncio.run(run())


def test_progressive_stops_at_the_deadline_and_the_stream_goes_on(server: ServerProcess) -> None:
    with Client(server.address, MODEL) as client:
        late = client.predict(DINGO, Progressive(), budget=1e-4)
        assert len(late.answers) >= 1 and not late.deadline_met
        assert late.payload_bytes < 512
        assert client.predict(DINGO, BEST).best.name == "dingo"


def test_many_pictures_at_once_get_their_own_answers(server: ServerProcess) -> None:
    pictures = [np.random.default_rng(i).integers(0, 256, (64, 64, 3), np.uint8) for i in range(40)]

    async def run() -> None:
        async with AsyncClient(server.address, MODEL) as client:
            together = await asyncio.gather(*(client.predict(p, at_level(1 + i % 8)) for i, p in enumerate(pictures)))
            for i, picture in enumerate(pictures):
                alone = await client.predict(picture, at_level(1 + i % 8))
                assert together[i].best.index == alone.best.index
                assert together[i].best.probability == pytest.approx(alone.best.probability, abs=1e-4)

    asyncio.run(run())


def test_an_edge_with_nothing_but_an_address_fetches_the_encoder(server: ServerProcess, artifact: Artifact) -> None:
    folder = cache_folder() / artifact.manifest.fingerprint
    shutil.rmtree(folder, ignore_errors=True)
    with Client(server.address) as client:
        assert client.predict(DINGO, BEST).best.name == "dingo"
    (folder / ENCODER).write_bytes(b"damaged")
    with Client(server.address) as client:
        assert client.predict(DINGO, BEST).best.name == "dingo"


def test_points_are_refused_before_anything_is_sent(server: ServerProcess) -> None:
    with Client(server.address, MODEL) as client, pytest.raises(PointError, match="Point 999 does not exist"):
        client.predict(DINGO, OneShot(point=999))


def test_a_server_that_is_not_there() -> None:
    began = time.monotonic()
    with pytest.raises(ServerUnavailable, match=r"No server answers at 127\.0\.0\.1"):
        Client(f"127.0.0.1:{free_port()}", MODEL, connect_timeout=2).__enter__()
    assert time.monotonic() - began < 10


def test_a_listener_that_never_answers() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        for model in (None, MODEL):
            with pytest.raises(ServerUnavailable, match=r"No server answers at|takes connections and says nothing"):
                Client(f"127.0.0.1:{silent.getsockname()[1]}", model, connect_timeout=0.5).__enter__()


def test_a_server_with_another_model(server: ServerProcess) -> None:
    with pytest.raises(ModelMismatch, match="start both with the same model"), Client(server.address, NESTED):
        pass


@pytest.mark.slow
def test_a_nested_model_answers_one_shot_alone() -> None:
    with server_process(NESTED) as server, Client(server.address) as client:
        best = OneShot(point_for(client.encoder.manifest, level=8))
        assert client.predict(DINGO, best).best.name == "dingo"
        with pytest.raises(PointError, match="is not refinable"):
            client.predict(DINGO, Progressive())


@pytest.mark.slow
def test_it_reconnects_to_a_restarted_server() -> None:
    port = str(free_port())
    with server_process(MODEL, "--port", port) as first:
        client = Client(first.address, MODEL)
        client.__enter__()
        assert client.predict(DINGO, BEST).best.name == "dingo"
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
    try:
        with server_process(MODEL, "--port", port):
            assert client.predict(DINGO, BEST).best.name == "dingo"
        with pytest.raises(ServerUnavailable):
            client.predict(DINGO, BEST)
    finally:
        client.__exit__(None, None, None)


@pytest.mark.slow
def test_where_a_server_dies_in_the_middle_of_a_stream_the_edge_s_own_answers_stand() -> None:
    async def run() -> None:
        with server_process(MODEL) as server:
            async with AsyncClient(server.address, MODEL, connect_timeout=1) as client:
                work = [asyncio.create_task(client.predict(DINGO, Progressive(), budget=20)) for _ in range(64)]
                await asyncio.sleep(0.05)
                server.process.send_signal(signal.SIGKILL)
                results = await asyncio.wait_for(asyncio.gather(*work), 30)
                alone = [result for result in results if not result.served]
                assert alone and all(isinstance(result.error, ServerUnavailable) for result in alone)
                assert all(result.local and result.best.name == "dingo" for result in alone)

    asyncio.run(run())


@pytest.mark.slow
def test_sigterm_finishes_what_it_has_and_refuses_new_work(tmp_path: Path) -> None:
    with server_process(MODEL) as server:
        answered, refused = [], []

        def work() -> None:
            try:
                with Client(server.address, MODEL, connect_timeout=1) as client:
                    while True:
                        answered.append(client.predict(DINGO, BEST).best.name)
            except ServerUnavailable as error:
                refused.append(str(error))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        while len(answered) < 20:
            time.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(15) == 0
        for thread in threads:
            thread.join(15)
        assert len(refused) == 4
        assert set(answered) == {"dingo"}


def test_a_file_in_place_of_a_payload(server: ServerProcess) -> None:
    with Client(server.address, MODEL) as client:
        chosen = client.predict(DINGO, File(), budget=5)
        again = client.predict(DINGO, File(), budget=5)
        fixed = client.predict(DINGO, File(side=64, quality=90), budget=5)
    files = [(row.side, row.quality) for row in MANIFEST.codec]
    assert chosen.file == again.file == files[-1] == (64, 90) and again.best.name == "dingo"
    assert fixed.payload_bytes == again.payload_bytes > 1000 and fixed.point == len(MANIFEST.points)
    assert fixed.as_record()["file"] == {"side": 64, "quality": 90}


def test_pictures_of_many_callers_that_are_sent_in_every_way(server: ServerProcess) -> None:
    async def run() -> None:
        async with AsyncClient(server.address, MODEL) as client:
            modes: list[Mode] = [at_level(2), at_level(5), File(), Progressive()]
            results = await asyncio.gather(*(client.predict(DINGO, modes[i % 4], budget=5) for i in range(40)))
        assert all(result.best.name for result in results)
        assert len({result.request_id for result in results}) == 40

    asyncio.run(run())
