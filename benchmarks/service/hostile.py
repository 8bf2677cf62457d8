"""Hostile input: messages made at random, true ones with their bytes changed, and garbage on both ports."""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc

from artoveq import AsyncClient, OneShot
from artoveq.processes import server_process
from benchmarks.results import Bar
from benchmarks.service.measure import resident_mib
from edge_client.transport.grpc import WRITE_FAILED
from wire.artifact import load_artifact
from wire.generated import remote_inference_pb2 as pb
from wire.manifest import Manifest

PICTURE = Path(__file__).parents[2] / "artoveq" / "demo" / "pictures" / "dingo.png"
SERVICE = "/artoveq.v1.RemoteInferenceService"
UNARY = ("Predict", "PredictPicture", "DescribeModel")
PER_STREAM = 100
ROUNDS, GARBAGE = 40, 20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GET = b"GET / HTTP/1.1\r\n"
ENDLESS = b"POST /v1/predictions HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"
FAULTS = ("Traceback", "Exception", "ERROR", "Fatal", "Segmentation")
MOST_GROWTH = 1.03
"""Of the resident memory, last quarter over the second."""


async def hostile(model: Path, messages: int, seed: int) -> tuple[dict[str, Any], list[Bar]]:
    """Sends them, and in between good pictures, whose answer must never change."""
    rng, manifest = random.Random(seed), load_artifact(model).manifest
    good_point = manifest.point_of_level(4)
    with tempfile.TemporaryFile("w+") as log, server_process(model, stderr=log) as server:
        async with AsyncClient(server.address, str(model)) as good:
            sender = _Sender(server.address, manifest, rng)
            memory, answers = [], set()
            async with grpc.aio.insecure_channel(server.address) as channel:
                for _ in range(ROUNDS):
                    await sender.send(channel, messages // ROUNDS)
                    await _garbage(server.port, rng, GARBAGE)
                    await _garbage(server.http_port, rng, GARBAGE)
                    result = await good.predict(PICTURE, OneShot(point=good_point), budget=10)
                    answers.add((result.best.name, round(result.best.probability, 5)))
                    memory.append(resident_mib(server.process.pid))
            alive = server.process.poll() is None
        log.seek(0)
        faults = [line.rstrip() for line in log if any(fault in line for fault in FAULTS)]
    quarter = ROUNDS // 4
    second, last = max(memory[quarter : 2 * quarter]), max(memory[-quarter:])
    figures = {
        "messages": sender.sent,
        "garbage_connections": ROUNDS * 2 * GARBAGE,
        "statuses": dict(sender.statuses),
        "failures_by_code": dict(sender.failures),
        "answers_to_good_pictures": sorted(answers),
        "server_alive": alive,
        "faults_in_the_log": faults[:5],
        "resident_mib": {"second_quarter": round(second, 1), "last_quarter": round(last, 1)},
        "growth": round(last / second, 4),
    }
    bars = [
        Bar("memory, last quarter over the second", round(last / second, 4), MOST_GROWTH, "at most"),
        Bar("faults in the log", len(faults), 0, "at most"),
        Bar("answers to one good picture", len(answers), 1, "at most"),
        Bar("servers that ended", int(not alive), 0, "at most"),
    ]
    return figures, bars


class _Sender:
    def __init__(self, address: str, manifest: Manifest, rng: random.Random) -> None:
        self._address, self._manifest, self._rng = address, manifest, rng
        self.sent = 0
        self.statuses: Counter[str] = Counter()
        self.failures: Counter[int] = Counter()

    async def send(self, channel: grpc.aio.Channel, count: int) -> None:
        """On streams of up to PER_STREAM messages, every tenth message as a unary call."""
        until = self.sent + count
        while self.sent < until:
            if self._rng.random() < 0.5:
                await asyncio.gather(*(self._unary(channel) for _ in range(PER_STREAM // 10)))
            await self._stream(channel, min(PER_STREAM, max(0, until - self.sent)))

    async def _stream(self, channel: grpc.aio.Channel, count: int) -> None:
        call = channel.stream_stream(f"{SERVICE}/Stream", bytes, pb.StreamResponse.FromString)()
        reader = asyncio.create_task(self._read(call))
        hello = pb.StreamRequest(hello=pb.Hello(fingerprint=self._manifest.fingerprint)).SerializeToString()
        with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
            await call.write(hello if self._rng.random() < 0.95 else self._wrong(hello))
            for _ in range(count):
                self.sent += 1
                await call.write(self._message())
            await call.done_writing()
        await asyncio.wait_for(reader, 60)

    async def _read(self, call: Any) -> None:
        with contextlib.suppress(grpc.RpcError):
            while (response := await call.read()) is not grpc.aio.EOF:
                if response.HasField("failure"):
                    self.failures[response.failure.code] += 1
        met_the_end = await call.details() == WRITE_FAILED  # the server had ended the stream by then
        self.statuses["ended while we wrote" if met_the_end else (await call.code()).name] += 1

    async def _unary(self, channel: grpc.aio.Channel) -> None:
        self.sent += 1
        name = self._rng.choice(UNARY)
        payload = self._payload()
        true = {
            "Predict": pb.PredictRequest(
                fingerprint=self._manifest.fingerprint if self._rng.random() < 0.8 else "x",
                point=payload.point,
                data=payload.data,
                packed=payload.packed,
                key=self._rng.randbytes(self._rng.choice((0, 3, 64, 65, 5000))),
            ),
            "PredictPicture": pb.PredictPictureRequest(picture=self._rng.randbytes(self._rng.randrange(400))),
            "DescribeModel": pb.DescribeModelRequest(),
        }[name].SerializeToString()
        method = f"{SERVICE}/{name}"
        sent = self._wrong(true) if self._rng.random() < 0.5 else true
        try:
            await channel.unary_unary(method, bytes, bytes)(sent, timeout=60)
            self.statuses["OK"] += 1
        except grpc.aio.AioRpcError as error:
            self.statuses[error.code().name] += 1

    def _message(self) -> bytes:
        kind = self._rng.choices(
            ("payload", "wrong bytes", "cancel", "ping", "report", "hello", "noise"), (8, 8, 2, 2, 2, 0.05, 0.3)
        )[0]
        if kind == "wrong bytes":
            return self._wrong(pb.StreamRequest(payload=self._payload()).SerializeToString())
        if kind == "noise":
            return self._rng.randbytes(self._rng.randrange(300))
        request = {
            "payload": lambda: pb.StreamRequest(payload=self._payload()),
            "cancel": lambda: pb.StreamRequest(cancel=pb.Cancel(picture_id=self._number(64))),
            "ping": lambda: pb.StreamRequest(ping=pb.Ping(id=self._number(64))),
            "report": lambda: pb.StreamRequest(
                report=pb.Report(
                    capacity=self._number(64), point=self._number(32), latency_us=self._number(32),
                    thumbnail=self._rng.randbytes(self._rng.choice((0, 30, 400))),
                )
            ),
            "hello": lambda: pb.StreamRequest(hello=pb.Hello(fingerprint="x")),
        }[kind]()  # fmt: skip
        return request.SerializeToString()

    def _payload(self) -> pb.Payload:
        """A block or a run of planes, nearly right: each field is true most of the time."""
        rng, manifest = self._rng, self._manifest
        run = bool(manifest.planes) and rng.random() < 0.5
        point = manifest.chain[-1] if run else rng.randint(1, len(manifest.points))
        count = rng.randint(1, len(manifest.planes)) if run else 0
        size = sum(plane.payload_bytes for plane in manifest.planes[:count]) or manifest.point(point).payload_bytes
        return pb.Payload(
            picture_id=rng.randint(1, 60) if rng.random() < 0.8 else self._number(64),
            point=point if rng.random() < 0.8 else self._number(32),
            first_plane=int(run) if rng.random() < 0.7 else self._number(32),
            plane_count=count if rng.random() < 0.8 else self._number(32),
            data=rng.randbytes(size if rng.random() < 0.7 else rng.randrange(700)),
            packed=rng.random() < 0.5,
            top_k=self._number(32) if rng.random() < 0.1 else 1,
            last=rng.random() < 0.2,
        )

    def _number(self, bits: int) -> int:
        return self._rng.choice((0, 1, 2, 9, 255, 2**31 - 1, 2**31, 2**bits - 1, self._rng.getrandbits(bits)))

    def _wrong(self, data: bytes) -> bytes:
        """True bytes, changed: flipped, cut, doubled, filled in."""
        changed = bytearray(data)
        for _ in range(self._rng.randint(1, 4)):
            at = self._rng.randrange(len(changed) + 1)
            kind = self._rng.randrange(4)
            if kind == 0 and at < len(changed):
                changed[at] ^= 1 << self._rng.randrange(8)
            elif kind == 1:
                del changed[at:]
            elif kind == 2:
                changed[at:at] = changed[: self._rng.randrange(40)]
            else:
                changed[at:at] = self._rng.randbytes(self._rng.randrange(8))
        return bytes(changed)


async def _garbage(port: int, rng: random.Random, connections: int) -> None:
    """Bytes that are no HTTP, or only begin as such; some hang up at once, some wait for what comes."""
    await asyncio.gather(*(_one(port, data) for data in _pieces(rng, connections)))


def _pieces(rng: random.Random, count: int) -> Iterator[bytes]:
    for _ in range(count):
        noise = rng.randbytes(rng.randrange(500))
        frame = rng.randrange(2**14).to_bytes(3, "big") + bytes([rng.randrange(12), rng.randrange(256)]) + noise
        yield rng.choice((noise, PREFACE + noise, PREFACE + frame, GET + noise, ENDLESS + noise))


async def _one(port: int, data: bytes) -> None:
    with contextlib.suppress(OSError, asyncio.TimeoutError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.closing(writer):
            writer.write(data)
            await writer.drain()
            await asyncio.wait_for(reader.read(1000), 0.2)
