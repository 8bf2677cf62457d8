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

from artoveq.processes import server_process
from benchmarks.service.measure import resident_mib
from edge_client import AsyncClient
from edge_client.stream import WRITE_FAILED
from wire.artifact import Manifest, load_artifact
from wire.generated import remote_inference_pb2 as pb
from wire.pictures import read_picture

PICTURE = Path(__file__).parents[2] / "artoveq" / "demo" / "pictures" / "dingo.png"
STREAM = "/artoveq.v1.RemoteInference/Stream"
UNARY = ("Predict", "PredictPicture", "DescribeModel")
PER_STREAM = 100
ROUNDS, GARBAGE = 40, 20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GET = b"GET / HTTP/1.1\r\n"
ENDLESS = b"POST /v1/predictions HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"
FAULTS = ("Traceback", "Exception", "ERROR", "Fatal", "Segmentation")
MOST_GROWTH = 0.03


async def hostile(model: Path, messages: int, seed: int) -> dict[str, Any]:
    """Sends them, and in between good pictures, whose answer must never change."""
    rng, manifest = random.Random(seed), load_artifact(model).manifest
    with tempfile.TemporaryFile("w+") as log, server_process(model, stderr=log) as server:
        async with AsyncClient(server.address, str(model)) as good:
            sender = _Sender(server.address, manifest, rng)
            memory, answers = [], set()
            async with grpc.aio.insecure_channel(server.address) as channel:
                for _ in range(ROUNDS):
                    await sender.send(channel, messages // ROUNDS)
                    await _garbage(server.port, rng, GARBAGE)
                    await _garbage(server.http_port, rng, GARBAGE)
                    result = await good.predict(read_picture(PICTURE), budget=10, level=4)
                    answers.add((result.best.name, round(result.best.probability, 5)))
                    memory.append(resident_mib(server.process.pid))
            alive = server.process.poll() is None
        log.seek(0)
        faults = [line.rstrip() for line in log if any(fault in line for fault in FAULTS)]
    quarter = ROUNDS // 4
    second, last = max(memory[quarter : 2 * quarter]), max(memory[-quarter:])
    return {
        "messages": sender.sent,
        "garbage_connections": ROUNDS * 2 * GARBAGE,
        "statuses": dict(sender.statuses),
        "failures_by_code": dict(sender.failures),
        "answers_to_good_pictures": sorted(answers),
        "server_alive": alive,
        "faults_in_the_log": faults[:5],
        "resident_mib": {"second_quarter": round(second, 1), "last_quarter": round(last, 1)},
        "passed": alive and not faults and len(answers) == 1 and last < second * (1 + MOST_GROWTH),
    }


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
        call = channel.stream_stream(STREAM, bytes, pb.StreamResponse.FromString)()
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
        planes = self._planes()
        true = {
            "Predict": pb.PredictRequest(
                fingerprint=self._manifest.fingerprint if self._rng.random() < 0.8 else "x",
                level=planes.level % 2**32,
                planes=planes.planes,
                coded=bool(planes.coded),
                key=self._rng.randbytes(self._rng.choice((0, 3, 64, 65, 5000))),
            ),
            "PredictPicture": pb.PredictPictureRequest(picture=self._rng.randbytes(self._rng.randrange(400))),
            "DescribeModel": pb.DescribeModelRequest(),
        }[name].SerializeToString()
        method = f"/artoveq.v1.RemoteInference/{name}"
        sent = self._wrong(true) if self._rng.random() < 0.5 else true
        try:
            await channel.unary_unary(method, bytes, bytes)(sent, timeout=60)
            self.statuses["OK"] += 1
        except grpc.aio.AioRpcError as error:
            self.statuses[error.code().name] += 1

    def _message(self) -> bytes:
        kind = self._rng.choices(
            ("planes", "wrong bytes", "cancel", "ping", "report", "hello", "noise"), (8, 8, 2, 2, 2, 0.05, 0.3)
        )[0]
        if kind == "wrong bytes":
            return self._wrong(pb.StreamRequest(planes=self._planes()).SerializeToString())
        if kind == "noise":
            return self._rng.randbytes(self._rng.randrange(300))
        request = {
            "planes": lambda: pb.StreamRequest(planes=self._planes()),
            "cancel": lambda: pb.StreamRequest(cancel=pb.Cancel(picture_id=self._number(64))),
            "ping": lambda: pb.StreamRequest(ping=pb.Ping(id=self._number(64))),
            "report": lambda: pb.StreamRequest(
                report=pb.Report(
                    capacity=self._number(64), planes=self._number(32), latency_us=self._number(32),
                    thumbnail=self._rng.randbytes(self._rng.choice((0, 30, 400))),
                )
            ),
            "hello": lambda: pb.StreamRequest(hello=pb.Hello(fingerprint="x")),
        }[kind]()  # fmt: skip
        return request.SerializeToString()

    def _planes(self) -> pb.Planes:
        """Nearly right: each field is true most of the time."""
        rng = self._rng
        level = rng.randint(1, 8) if rng.random() < 0.8 else self._number(32)
        size = self._manifest.plane_bytes * rng.randint(1, 8)
        length = size if rng.random() < 0.7 else rng.randrange(700)
        return pb.Planes(
            picture_id=rng.randint(1, 60) if rng.random() < 0.8 else self._number(64),
            level=level,
            first_plane=1 if rng.random() < 0.7 else self._number(32),
            planes=rng.randbytes(length),
            top_k=self._number(32) if rng.random() < 0.1 else 1,
            last=rng.random() < 0.2,
            coded=0 if rng.random() < 0.5 else rng.randint(1, 8) if rng.random() < 0.8 else self._number(32),
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
