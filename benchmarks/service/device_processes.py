"""Edges in several processes: who is busy does not wait for other edges' handshakes, as on devices of their own."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.service.devices import Album, Books, Devices, merged
from edge_client.transport.security import Security
from inference_server.descriptors import raise_limit
from wire.exceptions import ServerError


@dataclass(frozen=True)
class Group:
    """Edges of one process, as `Devices` has them. every_s: between two pictures; senders: of them, the first."""

    address: str
    certificate: Path
    models: tuple[Path, ...]
    numbers: range
    every_s: float
    senders: int


class DeviceProcesses:
    """Groups of edges, each in a process of its own, and the books that they keep together."""

    def __init__(self, groups: Sequence[Group]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for group in groups:
            ours, theirs = context.Pipe()
            self._pipes.append(ours)
            self._processes.append(context.Process(target=_run, args=(theirs, group), daemon=True))

    async def open(self) -> None:
        """Connects them all."""
        for process in self._processes:
            process.start()
        await self._said()

    def next_part(self) -> None:
        """What is asked from now on goes into books of its own; they begin to ask with the first part."""
        for pipe in self._pipes:
            pipe.send(True)

    async def end(self) -> list[Books]:
        """What was asked comes to its end, and they leave; the books of each part."""
        for pipe in self._pipes:
            pipe.send(False)
        return [merged(part) for part in zip(*await self._said(), strict=True)]

    def kill(self) -> None:
        """Ends the processes, whatever they do."""
        for process in self._processes:
            if process.pid is not None:
                process.kill()

    async def _said(self) -> list[list[Books]]:
        """By each of the processes.

        Raises:
            ServerError: if one has ended.
        """
        try:
            said: list[list[Books]] = await asyncio.gather(*(asyncio.to_thread(pipe.recv) for pipe in self._pipes))
        except EOFError:
            raise ServerError("A process of edges has ended; see its message above.") from None
        return said


def _run(pipe: Connection, group: Group) -> None:
    raise_limit()
    asyncio.run(_work(pipe, group))


async def _work(pipe: Connection, group: Group) -> None:
    security = Security(True, group.certificate)
    devices = Devices(group.address, security, Album(*group.models), group.numbers)
    await devices.open()
    pipe.send([])
    parts: list[Books] = []
    while await asyncio.to_thread(pipe.recv):
        devices.books = Books()
        parts.append(devices.books)
        if len(parts) == 1:
            devices.begin(group.every_s, group.senders)
    await devices.end()
    pipe.send(parts)
