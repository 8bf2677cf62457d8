"""Where an edge stands with a server: its model, what it knows of the link, and the one stream between them.

The stream is opened anew where it breaks and moved where the server wants that; the model is the server's latest one,
where the edge does not name its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

import grpc

from edge_client.connection import Connection
from edge_client.control import PROBE_BYTES, RateControl
from edge_client.encoder import Encoder, shared_encoder, warm_up
from edge_client.moving import Moves
from edge_client.provision import check_pin, provision, provisioned, remember
from edge_client.transport.base import Metadata, OpenTransport
from edge_client.transport.grpc import GrpcTransport
from edge_client.transport.security import Security
from wire.artifact import load_artifact
from wire.distribution import model_folder
from wire.exceptions import ModelMismatch, ServerError, ServerUnavailable, UsageError
from wire.tasks import Task, task_of

REFUSED_S, AGAIN_S = 0.5, (0.05, 0.25)
"""An opening that fails so fast was refused, perhaps by a server that stops: behind the same address there may be
another one, so that it is tried again, after these pauses."""


class Session:
    """Arguments are those of `AsyncClient`."""

    control: RateControl
    task: Task

    def __init__(
        self,
        address: str,
        model: str | Path | Encoder | None,
        *,
        fingerprint: str,
        name: str,
        security: Security,
        connect_timeout: float,
        offline: bool,
        probe: float,
        transport: OpenTransport | None,
    ) -> None:
        if transport is not None and model is None:
            raise UsageError("Over a transport of your own no encoder can be fetched; give the model.")
        if not re.fullmatch(r"([0-9a-f]{64})?", fingerprint):
            raise UsageError(f"A fingerprint has 64 hexadecimal digits, not {fingerprint[:80]!r}; copy all of them.")
        self.address, self._name, self._connect_timeout = address, name, connect_timeout
        self._model, self._security, self._transport, self._probe = model, security, transport, probe
        self._fingerprint, self._offline = fingerprint, offline
        self._connection: Connection | None = None
        self._greeted = ""
        """The model of the connection."""
        self._opening, self._moves = asyncio.Lock(), Moves(self._open_beside)
        self._encoder: Encoder | None = None

    async def begin(self) -> None:
        """Loads the model and, unless it may be offline, opens the stream."""
        self.channel = self._security.open(self.address)
        try:
            self._adopt(await self._load())
            if not self._offline:
                await self.connected()
        except BaseException:
            await self.channel.close()
            raise

    async def end(self) -> None:
        """Closes the stream, and those that are being left."""
        await self._moves.end()
        if self._connection is not None and self._connection.broken is None:
            await self._connection.close()
        await self.channel.close()

    @property
    def encoder(self) -> Encoder:
        """The edge half of the model.

        Raises:
            UsageError: before the session has begun.
        """
        if self._encoder is None:
            raise UsageError("A client connects when it is entered; use it in a `with` or `async with`.")
        return self._encoder

    @property
    def metadata(self) -> Metadata:
        """That goes with every call."""
        return self._security.metadata

    async def _load(self) -> Encoder:
        if isinstance(self._model, Encoder):
            check_pin(self._model.manifest, self._fingerprint)
            return self._model
        if self._model is not None:
            artifact = load_artifact(await asyncio.to_thread(model_folder, self._model), edge=True)
            check_pin(artifact.manifest, self._fingerprint)
            return Encoder(artifact)
        cached = provisioned(self.address) if self._offline and not self._fingerprint else None
        if cached is not None:
            return await asyncio.to_thread(shared_encoder, cached)
        try:
            return await self._fetched()
        except ServerUnavailable as error:
            if not self._offline:
                raise
            raise ServerUnavailable(
                f"{error} An edge starts without it once it has a model; name its folder."
            ) from error

    async def _fetched(self, fingerprint: str = "") -> Encoder:
        """fingerprint: of one version; else the one that the client takes alone."""
        asked = self.channel, self.address, self._connect_timeout, self._security.metadata
        pinned = bool(self._fingerprint)
        artifact = await provision(*asked, fingerprint or self._fingerprint, pinned=pinned)
        return await asyncio.to_thread(shared_encoder, artifact)  # pictures go on meanwhile

    def _adopt(self, encoder: Encoder) -> None:
        """This is the model from now on, if it runs; what is known of the link stays."""
        task, control = task_of(encoder.manifest), RateControl(encoder.codec, self._probe)
        control.encode_s = warm_up(encoder, now) if encoder.encode_s is None else encoder.encode_s
        if self._encoder is not None:
            control.estimator = self.control.estimator
        self._encoder, self.task, self.control = encoder, task, control
        if self._model is None:
            remember(self.address, encoder.manifest.fingerprint)

    async def follow(self, mismatch: ModelMismatch) -> None:
        """Takes the model that the server serves now, where the encoder came from there.

        Raises:
            ModelMismatch: if there is no other one.
        """
        if self._model is not None:
            raise mismatch
        encoder = await self._fetched()
        if encoder.manifest.fingerprint == self.encoder.manifest.fingerprint:
            raise mismatch
        self._adopt(encoder)

    async def connected(self, pauses: Sequence[float] = AGAIN_S) -> Connection:
        """The stream, opened anew where it has broken. pauses: before it is tried again where it is refused."""
        async with self._opening:
            connection, fingerprint = self._connection, self.encoder.manifest.fingerprint
            if connection is not None and connection.broken is None and self._greeted != fingerprint:
                await connection.close()
            if connection is None or connection.broken is not None:
                try:
                    connection = await self._opened(pauses)
                except ModelMismatch as mismatch:
                    await self.follow(mismatch)
                    connection = await self._opened(pauses)
                self._connection, self._greeted = connection, self.encoder.manifest.fingerprint
                if self.control.estimator.capacity is None:
                    await self._measure(connection)
            return connection

    async def connected_by(self, deadline: float | None) -> Connection:
        """As `connected`; what is not open by the deadline goes on being opened, for pictures to come.

        Raises:
            ServerUnavailable: at the deadline, too.
        """
        if deadline is None:
            return await self.connected()
        opening = asyncio.ensure_future(self.connected(()))  # who has an answer of its own tries once
        opening.add_done_callback(lambda done: done.cancelled() or done.exception())  # perhaps nobody waits any more
        await asyncio.wait({opening}, timeout=max(0.0, deadline - now()))
        if not opening.done():
            raise ServerUnavailable(f"{self.address} has not answered within the budget; the edge's own answer stands.")
        # Meanwhile the edge may have gone over to another stream, and another model.
        return connection if (connection := opening.result()) is self._connection else await self.connected()

    async def _measure(self, connection: Connection) -> None:
        """Fills a link that nothing is known of with as much as a picture may take, so that the first one knows it."""
        size = min(PROBE_BYTES, self.encoder.manifest.points[-1].payload_bytes)
        with contextlib.suppress(asyncio.TimeoutError, ServerError):
            sample = await asyncio.wait_for(connection.probe(size), self._connect_timeout)
            self.control.estimator.measured(sample, now())

    @property
    def _follows(self) -> bool:
        """Whether the model is the server's to choose."""
        return self._model is None and not self._fingerprint

    async def _opened(self, pauses: Sequence[float]) -> Connection:
        """A stream of whichever server takes it, of those that the address leads to."""
        for pause in pauses:
            began = now()
            try:
                return await self._open(self.channel)
            except ServerUnavailable:
                if now() - began > REFUSED_S:
                    raise
            await asyncio.sleep(pause)
        return await self._open(self.channel)

    async def _open(self, channel: grpc.aio.Channel, fingerprint: str = "") -> Connection:
        transport = self._transport() if self._transport else GrpcTransport(channel, self.address)
        connection = Connection(transport, self.address, self._security.metadata, self._moves.begin)
        fingerprint = fingerprint or self.encoder.manifest.fingerprint
        await connection.open(fingerprint, self._name, self._connect_timeout, follows=self._follows)
        return connection

    async def _open_beside(self, old: Connection, fingerprint: str) -> grpc.aio.Channel | None:
        """Opens a stream that takes the place of an old one, unless that has been replaced meanwhile.

        fingerprint: of the model that takes the place of the old one's; empty: that one stays.
        """
        other = None
        if self._follows and fingerprint not in ("", self._greeted):
            other = await self._fetched(fingerprint)
        fingerprint = (other or self.encoder).manifest.fingerprint
        channel = self._security.open(self.address)
        try:
            new = await self._open(channel, fingerprint)
        except BaseException:
            await channel.close()
            raise
        async with self._opening:
            if self._connection is old:
                left, self.channel = self.channel, channel
                self._connection, self._greeted = new, fingerprint
                if other is not None:
                    self._adopt(other)
                return left
        await new.close()
        await channel.close()
        return None


def now() -> float:
    """Seconds of the loop's clock, which a test may hold."""
    return asyncio.get_running_loop().time()
