"""The page of a server with several workers: one server, as far as its viewers can tell."""

from __future__ import annotations

from typing import Any

from inference_server.workers.views import merged


def told(
    rate: float, waiting: int, p50: float | None, p99: float | None, history: list[Any], **view: Any
) -> dict[str, Any]:
    model = {
        "name": "dogs",
        "fingerprint": "ab" * 32,
        "device": "cpu",
        "streams": 1,
        "pictures": 10 * waiting,
        "waiting": waiting,
        "rate": rate,
        "p50_ms": p50,
        "p99_ms": p99,
        "batch": 4.0,
        "columns": ["at", "pictures", "batches", "p50_ms", "p99_ms", "waiting"],
        "history": history,
    }
    server = {"waiting": waiting, "queue_pictures": 8, "batch_pictures": 4, "uptime_s": waiting, "models": [model]}
    return {"now": 5.0, "port": 1, "server": server, "connected": 1, **view}


def test_edges_are_together_and_figures_are_sums() -> None:
    one = told(30, 2, 1.0, 9.0, [[10.0, 300, 30, 1.0, 9.0, 2]], known=2, edges=["a"], gone=[])
    two = told(
        10, 1, 5.0, 7.0, [[10.0, 100, 30, 5.0, 7.0, 1], [20.0, 5, 5, 2.0, 2.0, 0]], known=1, edges=["b"], gone=[4]
    )
    idle = told(0, 0, None, None, [], known=0, edges=[], gone=[])
    whole = merged([one, two, idle])
    assert (whole["edges"], whole["gone"], whole["known"], whole["connected"]) == (["a", "b"], [4], 3, 3)
    server = whole["server"]
    assert (server["waiting"], server["queue_pictures"], server["batch_pictures"], server["uptime_s"]) == (3, 24, 4, 2)
    (model,) = server["models"]
    assert (model["rate"], model["p50_ms"], model["p99_ms"], model["waiting"]) == (40, 2.0, 9.0, 3)
    assert (model["streams"], model["pictures"]) == (3, 30)
    assert model["history"] == [[10.0, 400, 60, 2.0, 9.0, 3], [20.0, 5, 5, 2.0, 2.0, 0]]


def test_one_edge_is_told_by_whichever_worker_has_it() -> None:
    nobody, owner = told(0, 0, None, None, [], edge=None), told(0, 0, None, None, [], edge={"number": 2})
    assert merged([nobody, owner])["edge"] == {"number": 2}
    assert merged([nobody, nobody])["edge"] is None
