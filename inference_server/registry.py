"""The models that a server has: an edge names the one that its encoder belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from inference_server.model import Model
from wire.exceptions import ModelMismatch, SettingsError


class ModelRegistry:
    """Models by fingerprint and by name; the first one is taken where none is named.

    Raises:
        SettingsError: if two have the same name, or there is none.
    """

    def __init__(self, models: Sequence[Model]) -> None:
        if not models:
            raise SettingsError("A server needs a model; name an artifact's folder with --model.")
        self.first = models[0]
        self._named: dict[str, Model] = {}
        for model in models:
            for name in (model.manifest.fingerprint, model.manifest.name):
                if name in self._named:
                    raise SettingsError(f"The model {name[:40]} was named twice; name each one once.")
                self._named[name] = model
        self._models = tuple(models)

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models)

    def of_fingerprint(self, fingerprint: str) -> Model:
        """The model that an edge has the other half of.

        Raises:
            ModelMismatch: if it is not served.
        """
        model = self._named.get(fingerprint)
        if model is None or model.manifest.fingerprint != fingerprint:
            ours = ", ".join(f"{m.manifest.fingerprint[:12]} ({m.manifest.name})" for m in self._models)
            raise ModelMismatch(
                f"The edge has the model {fingerprint[:12] or '(none)'}, the server has {ours}; "
                "start both with the same model, or let the edge fetch it."
            )
        return model

    def named(self, name: str) -> Model:
        """The model of this name or fingerprint; the first one where it is empty.

        Raises:
            ModelMismatch: if it is not served.
        """
        model = self._named.get(name) if name else self.first
        if model is None:
            ours = ", ".join(m.manifest.name for m in self._models)
            raise ModelMismatch(f"The server has no model {name[:40]!r}; name one of {ours}.")
        return model
