"""How the server is, as the page shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference_server.history import KEPT, step_of

if TYPE_CHECKING:
    from inference_server.deployment import Deployment
    from inference_server.model import Model


class Health:
    """For one viewer: what is now, and of the hour what has not been told yet."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment, self._step = deployment, 0

    def _name(self, model: Model) -> str:
        """With its version, where there are several."""
        several = len(self._deployment.models.rollout(model).versions) > 1
        return f"{model.manifest.name} ({model.manifest.fingerprint[:8]})" if several else model.manifest.name

    def news(self, now: float) -> dict[str, Any]:
        """As JSON values. `models`: of each version, its decoder's device, empty while it is not loaded, the share of
        edges that get it, what it takes of memory while it is loaded, what it has done, what waits for it, and its
        load."""
        step = step_of(now)
        since, self._step = self._step or step - KEPT, step
        models = []
        for model in self._deployment.models:
            load, rollout = model.decoder.load, self._deployment.models.rollout(model)
            models.append(
                {
                    "name": self._name(model),
                    "fingerprint": model.manifest.fingerprint,
                    "current": rollout.current == model.manifest.fingerprint,
                    "share": rollout.share(model.manifest.fingerprint),
                    "device": model.decoder.device,
                    "memory_bytes": model.memory_bytes,
                    "streams": model.streams,
                    "pictures": model.pictures,
                    "waiting": model.decoder.waiting,
                    **load.now(now),
                    "columns": ["at", *load.history.columns],
                    "history": load.history.since(since, step),
                }
            )
        settings = self._deployment.settings
        return {
            "waiting": sum(one["waiting"] for one in models),
            "queue_pictures": settings.queue_pictures,
            "batch_pictures": settings.batch_pictures,
            "uptime_s": round(now - self._deployment.began),
            "models": models,
        }
