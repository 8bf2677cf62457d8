"""One stream's answers, in which order, whoever reads them and when."""

from __future__ import annotations

import asyncio

from inference_server.engine import Engine
from inference_server.session import Session
from inference_server.settings import Settings
from tests.conftest import MODEL
from wire.bundles import MOST
from wire.generated import remote_inference_pb2 as pb
from wire.tracing import Trace

PLANE = bytes(64)


def opened() -> Session:
    """Of an engine that decodes nothing."""
    engine = Engine(Settings(model=MODEL))
    return Session(engine, engine.edges.join("", "ipv4:1.2.3.4:5"), "", "id", Trace("test", "id"), bundles=True)


def hand_over(session: Session, picture_id: int, level: int, first_plane: int = 1) -> None:
    message = pb.Planes(picture_id=picture_id, level=level, first_plane=first_plane, planes=PLANE)
    session.handle(pb.StreamRequest(planes=message))


async def read(session: Session) -> list[pb.StreamResponse]:
    """What lies ready."""
    found: list[pb.StreamResponse] = []
    while not session.outbox.empty():
        response = await session.next()
        assert response is not None
        found += response.bundle.responses or [response]
    return found


def test_receipts_come_in_the_order_of_the_messages_however_late_they_are_read() -> None:
    """Those of whole pictures wait for company, those of others do not."""

    async def run() -> None:
        session = opened()
        for picture_id, level in ((1, 2), (2, 1), (3, 2), (4, 1)):
            hand_over(session, picture_id, level)
        hand_over(session, 1, 2, 2)
        assert [one.receipt.picture_id for one in await read(session)] == [1, 2, 3]
        hand_over(session, 5, 2)
        assert [one.receipt.picture_id for one in await read(session)] == [4, 1, 5]
        session.close()

    asyncio.run(run())


def test_an_edge_that_gives_everything_up_leaves_no_heap_of_receipts() -> None:
    async def run() -> None:
        session = opened()
        for picture_id in range(1, 3 * MOST):
            hand_over(session, picture_id, 1)
            session.handle(pb.StreamRequest(cancel=pb.Cancel(picture_id=picture_id)))
        receipts = [one.receipt.picture_id for one in await read(session)]
        assert receipts == list(range(1, len(receipts) + 1)) and len(receipts) > 2 * MOST - 2

    asyncio.run(run())
