"""The synchronous client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from edge_client.client import AsyncClient, OnAnswer
from edge_client.encoder import Encoder
from edge_client.modes import Mode, OneShot, PictureSource
from edge_client.rate import RatePolicy
from edge_client.results import Answer, Result
from edge_client.spool import Kept, Spool
from edge_client.transport.base import OpenTransport
from edge_client.transport.security import PLAIN, Security
from wire.exceptions import UsageError

T = TypeVar("T")


class Client:
    """The synchronous form of `AsyncClient`, with its parameters; safe to share between threads.

    Example:
        with Client("localhost:50051") as client:
            print(client.predict("dog.jpg", budget="50ms").best.name)
    """

    def __init__(
        self,
        address: str,
        model: str | Path | Encoder | None = None,
        *,
        fingerprint: str = "",
        name: str = "",
        policy: RatePolicy | None = None,
        security: Security = PLAIN,
        connect_timeout: float = 5.0,
        offline: bool = False,
        probe: float = 0.0,
        transport: OpenTransport | None = None,
    ) -> None:
        self._client = AsyncClient(
            address,
            model,
            fingerprint=fingerprint,
            name=name,
            policy=policy,
            security=security,
            connect_timeout=connect_timeout,
            offline=offline,
            probe=probe,
            transport=transport,
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="artoveq-client", daemon=True)

    def __enter__(self) -> Client:
        self._thread.start()
        try:
            self._run(self._client.__aenter__())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._run(self._client.__aexit__(kind, error, traceback))
        self._stop()

    def _stop(self) -> None:
        self._run(_cancel_the_rest())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if not self._thread.is_alive():
            work.close()
            raise UsageError("A client connects when it is entered; use it in a `with`.")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    @property
    def encoder(self) -> Encoder:
        """The edge half of the model."""
        return self._client.encoder

    @property
    def capacity(self) -> float | None:
        """Bits per second as measured so far."""
        return self._client.capacity

    def predict(
        self,
        picture: PictureSource,
        mode: Mode = OneShot(),  # noqa: B008 (frozen)
        budget: float | str = 0.05,
        top_k: int = 1,
        on_answer: OnAnswer | None = None,
    ) -> Result:
        """As `AsyncClient.predict`; `on_answer` is called in the client's own thread."""
        return self._run(self._client.predict(picture, mode, budget, top_k, on_answer))

    def ask(
        self,
        picture: PictureSource,
        question: str,
        mode: Mode = OneShot(),  # noqa: B008 (frozen)
        budget: float | str = 0.05,
        top_k: int = 1,
        on_answer: OnAnswer | None = None,
    ) -> Result:
        """As `AsyncClient.ask`; `on_answer` is called in the client's own thread."""
        return self._run(self._client.ask(picture, question, mode, budget, top_k, on_answer))

    def keep(self, spool: Spool, picture: PictureSource, context: dict[str, Any], *, key: bytes = b"") -> list[Kept]:
        """As `AsyncClient.keep`; the spool belongs to the calling thread."""
        return self._client.keep(spool, picture, context, key=key)

    def deliver(self, kept: Kept, *, top_k: int = 1) -> Answer:
        """As `AsyncClient.deliver`."""
        return self._run(self._client.deliver(kept, top_k=top_k))

    def report(
        self, result: Result, picture: PictureSource, *, thumbnail: bool = False, true_capacity: float | None = None
    ) -> None:
        """As `AsyncClient.report`."""
        self._run(self._client.report(result, picture, thumbnail=thumbnail, true_capacity=true_capacity))


async def _cancel_the_rest() -> None:
    """What still runs in the loop ends with it, as under `asyncio.run`."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
