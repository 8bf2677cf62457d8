"""A policy and a transport of one file each, with a real client, and the server's pure core behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np

from edge_client import AsyncClient, OneShot, Progressive
from tests.edge_client.models import FakeEncoder, shipped_like
from tests.edge_client.plans import Check, Conditions, Pictures, Run, Server, run
from tests.seams.toy_policy import HalfTheLink
from tests.seams.toy_transport import SocketTransport, framed, read
from wire.exceptions import ArtoveqError
from wire.generated import remote_inference_pb2 as pb


def test_a_policy_of_ones_own_decides_what_is_sent() -> None:
    policy = HalfTheLink()
    run(
        [
            Conditions(capacity=10_000),
            Pictures(every=1.0, budget=0.2),
            Run(30),
            Conditions(capacity=40_000),
            Run(30),
            Check("nearly all are in time", lambda seen: seen.met > 0.9),
        ],
        policy=policy,
    )
    slow, fast = policy.planned[20:30], policy.planned[-10:]
    manifest = shipped_like()
    assert max(manifest.point(n).payload_bytes for n in slow) <= 10_000 * 0.2 / 2 / 8
    assert min(manifest.point(n).payload_bytes for n in fast) > max(manifest.point(n).payload_bytes for n in slow)


def test_a_transport_of_ones_own_carries_the_stream(tmp_path: Path) -> None:
    encoder, path = FakeEncoder(shipped_like()), str(tmp_path / "socket")
    core, ended = Server(encoder.codec), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def respond(response: pb.StreamResponse | ArtoveqError) -> None:
            assert isinstance(response, pb.StreamResponse)
            writer.write(framed(response.SerializeToString()))

        receive = core(respond)
        while (data := await read(reader)) is not None:
            receive(pb.StreamRequest.FromString(data))
        receive(None)
        writer.close()
        ended.set()

    async def ask() -> None:
        picture = np.zeros((8, 8, 3), np.uint8)
        async with await asyncio.start_unix_server(serve, path):
            client = AsyncClient("socket", encoder, transport=lambda: SocketTransport(path))
            async with client:
                for point in (1, 40, 64):
                    result = await client.predict(picture, OneShot(point), budget="5s")
                    assert result.answers[-1].point == point
                    assert result.payload_bytes == encoder.manifest.point(point).payload_bytes
                refined = await client.predict(picture, Progressive(point=16), budget="5s")
                assert refined.answers[-1].point == 16 and refined.answers[-1].final
            await ended.wait()

    asyncio.run(ask())
