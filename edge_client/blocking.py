"""The synchronous client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar

from edge_client.client import AsyncClient
from edge_client.encoder import Encoder
from edge_client.results import Prediction, Result
from edge_client.spool import Kept, Spool
from wire.pictures import Picture

T = TypeVar("T")


class Client:
    """The synchronous form of `AsyncClient`, with its options; safe to share between threads.

    with Client("localhost:50051") as client:
        print(client.predict(read_picture("dog.jpg"), budget=0.05).best.name)
    """

    def __init__(
        self,
        address: str,
        model: str | None = None,
        **options: Any,
    ) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="artoveq-client", daemon=True)
        self._client = AsyncClient(address, model, **options)

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
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    @property
    def encoder(self) -> Encoder:
        assert self._client.encoder is not None
        return self._client.encoder

    @property
    def capacity(self) -> float | None:
        """Bits per second as measured so far."""
        return self._client.capacity

    def predict(self, picture: Picture, **options: Any) -> Result:
        """As `AsyncClient.predict`."""
        return self._run(self._client.predict(picture, **options))

    def keep(self, spool: Spool, picture: Picture, context: dict[str, Any]) -> list[Kept]:
        """As `AsyncClient.keep`; the spool belongs to the calling thread."""
        return self._client.keep(spool, picture, context)

    def deliver(self, kept: Kept, **options: Any) -> Prediction:
        """As `AsyncClient.deliver`."""
        return self._run(self._client.deliver(kept, **options))

    def report(self, result: Result, picture: Picture, **options: Any) -> None:
        """As `AsyncClient.report`."""
        self._run(self._client.report(result, picture, **options))
