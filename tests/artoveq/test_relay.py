import asyncio
import time

from artoveq.demo.relay import Relay
from edge_client.transport.emulated import CapacityTrace


def test_the_link_carries_what_the_trace_says_and_loses_nothing() -> None:
    async def run() -> None:
        got, done = bytearray(), asyncio.Event()

        async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(1000):
                got.extend(data)
            writer.close()
            done.set()

        target = await asyncio.start_server(sink, "127.0.0.1", 0)
        async with target, Relay(CapacityTrace([(0, 80_000)]), target.sockets[0].getsockname()[1]) as link:
            _, writer = await asyncio.open_connection("127.0.0.1", link.port)
            began, data = time.monotonic(), bytes(range(250)) * 20
            writer.write(data)
            writer.write_eof()
            await asyncio.wait_for(done.wait(), 10)
            assert bytes(got) == data
            assert 0.45 <= time.monotonic() - began < 1.5  # 5,000 bytes at 10,000 a second
            writer.close()

    asyncio.run(run())


def test_what_is_cut_off_arrives_when_the_link_is_healed_and_a_reset_is_noticed() -> None:
    async def run() -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(1000):
                writer.write(data)
            writer.close()

        target = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with target, Relay(CapacityTrace([(0, 1e6)]), target.sockets[0].getsockname()[1], delay=0.02) as link:
            reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
            for seconds in (0.04, 0.3):
                began = time.monotonic()
                writer.write(b"there")
                assert await asyncio.wait_for(reader.read(100), 5) == b"there"
                assert seconds <= time.monotonic() - began < seconds + 0.5
                link.cut(0.3)
            await link.reset()
            assert await asyncio.wait_for(reader.read(100), 5) == b""
            writer.close()

    asyncio.run(run())
