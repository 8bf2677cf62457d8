"""What a viewer of the page is told by all workers together, as JSON values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Told = dict[str, Any]


def merged(told: Sequence[Told]) -> Told:
    """As one server would tell it; the first of them is whom the viewer asked."""
    whole = {**told[0], "server": _servers([one["server"] for one in told])}
    whole["connected"] = sum(one["connected"] for one in told)
    if "edges" in whole:
        for key in ("edges", "gone"):
            whole[key] = [row for one in told for row in one[key]]
        whole["known"] = sum(one["known"] for one in told)
    else:
        whole["edge"] = next((one["edge"] for one in told if one["edge"] is not None), None)
    return whole


def _servers(servers: Sequence[Told]) -> Told:
    versions = dict.fromkeys(model["fingerprint"] for server in servers for model in server["models"])
    return {
        **servers[0],
        "waiting": sum(one["waiting"] for one in servers),
        "queue_pictures": sum(one["queue_pictures"] for one in servers),
        "uptime_s": max(one["uptime_s"] for one in servers),
        "models": [
            _models([model for server in servers for model in server["models"] if model["fingerprint"] == one])
            for one in versions
        ],
    }


def _models(models: Sequence[Told]) -> Told:
    rates = [one["rate"] for one in models]
    return {
        **models[0],
        **{key: sum(one[key] for one in models) for key in ("streams", "pictures", "waiting")},
        "rate": round(sum(rates), 2),
        "p50_ms": _mean([one["p50_ms"] for one in models], rates),
        "p99_ms": _most(one["p99_ms"] for one in models),
        "batch": _mean([one["batch"] for one in models], rates),
        "history": _histories([row for one in models for row in one["history"]]),
    }


def _histories(rows: Sequence[list[float | None]]) -> list[list[float | None]]:
    """Rows of a decoder's load (`load.Load`), one for each step."""
    steps: dict[float | None, list[list[float | None]]] = {}
    for row in rows:
        steps.setdefault(row[0], []).append(row)
    whole = []
    for at in sorted(steps, key=lambda step: step or 0.0):
        pictures, batches, p50, p99, waiting = ([row[i] for row in steps[at]] for i in range(1, 6))
        each = [one or 0.0 for one in pictures]
        whole.append([at, _sum(pictures), _sum(batches), _mean(p50, each), _most(p99), _sum(waiting)])
    return whole


def _sum(values: Iterable[float | None]) -> float:
    return sum(one for one in values if one is not None)


def _most(values: Iterable[float | None]) -> float | None:
    """Of percentiles: nobody had it worse."""
    return max((one for one in values if one is not None), default=None)


def _mean(values: Sequence[float | None], weights: Sequence[float]) -> float | None:
    """By what each worker has had to do."""
    known = [(one, weight) for one, weight in zip(values, weights, strict=True) if one is not None]
    if not known:
        return None
    total = sum(weight for _, weight in known)
    if not total:
        return round(sum(one for one, _ in known) / len(known), 2)
    return round(sum(one * weight for one, weight in known) / total, 2)
