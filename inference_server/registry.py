"""The models that a server has: an edge names the one that its encoder belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy

from inference_server.model import Model
from inference_server.rollout import Rollout, VersionInUse
from inference_server.versions import Kept, KeptName, KeptVersion
from wire.exceptions import ModelMismatch, SettingsError


class ModelRegistry:
    """Models by fingerprint, and by name, of which there may be several versions; the first name is taken where none is
    given. latest: of each name the version that came last is current, not the first one.

    Raises:
        SettingsError: if one comes twice.
    """

    def __init__(self, models: Sequence[Model], *, latest: bool = False) -> None:
        self._latest = latest
        self._models: dict[str, Model] = {}
        self._rollouts: dict[str, Rollout] = {}
        try:
            for model in models:
                self.add(model)
        except VersionInUse as error:
            raise SettingsError(f"{error} Name each model once.") from error

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    def of_fingerprint(self, fingerprint: str) -> Model:
        """The model that an edge has the other half of.

        Raises:
            ModelMismatch: if it is not served.
        """
        model = self._models.get(fingerprint)
        if model is None:
            ours = ", ".join(f"{m.manifest.fingerprint[:12]} ({m.manifest.name})" for m in self) or "none"
            raise ModelMismatch(
                f"The edge has the model {fingerprint[:12] or '(none)'}, the server has {ours}; "
                "start both with the same model, or let the edge fetch it."
            )
        return model

    def named(self, name: str) -> Model:
        """The model of this fingerprint, or the current version of this name; of the first name where it is empty.

        Raises:
            ModelMismatch: if it is not served.
        """
        if name in self._models:
            return self._models[name]
        rollout = self._rollouts.get(name) if name else next(iter(self._rollouts.values()), None)
        if rollout is None:
            if not self._rollouts:
                raise ModelMismatch("The server has no model yet; put one into its models folder, and ask again.")
            raise ModelMismatch(f"The server has no model {name[:40]!r}; name one of {', '.join(self._rollouts)}.")
        return self._models[rollout.current]

    def of_edge(self, model: Model, edge: str) -> Model:
        """The version of a model that this edge is to have; that model, where no version of its name is left."""
        rollout = self._rollouts.get(model.manifest.name)
        return self._models[rollout.of(edge)] if rollout else model

    def rollout(self, model: Model) -> Rollout:
        """Of a model that is served, or was until a moment ago."""
        return self._rollouts[model.manifest.name]

    def add(self, model: Model) -> None:
        """A version more of its name, or a name more.

        Raises:
            VersionInUse: if it is served already.
        """
        name, fingerprint = model.manifest.name, model.manifest.fingerprint
        if fingerprint in self._models:
            raise VersionInUse(f"The model {name} with the fingerprint {fingerprint[:12]} is served already.")
        if name in self._rollouts:
            self._rollouts[name].add(fingerprint)
        else:
            self._rollouts[name] = Rollout(name, fingerprint, latest=self._latest)
        self._models[fingerprint] = model

    def remove(self, fingerprint: str) -> Model:
        """A version that no edge gets; its streams go on until they are ended.

        Raises:
            ModelMismatch: if it is not served.
            VersionInUse: if edges get it.
        """
        model = self.of_fingerprint(fingerprint)
        self.rollout(model).remove(fingerprint)
        return self._models.pop(fingerprint)

    def withdraw(self, fingerprint: str) -> Model:
        """As `remove`, also where edges get it: they get another version, if there is one.

        Raises:
            ModelMismatch: if it is not served.
        """
        model = self.of_fingerprint(fingerprint)
        rollout = self.rollout(model)
        rollout.withdraw(fingerprint)
        if not rollout.versions:
            del self._rollouts[rollout.name]
        return self._models.pop(fingerprint)

    @contextmanager
    def change(self) -> Iterator[None]:
        """What is done within; where that ends in an error, all is as it was."""
        before = dict(self._models), deepcopy(self._rollouts)
        try:
            yield
        except BaseException:
            self._models, self._rollouts = before
            raise

    def kept(self) -> Kept:
        """As it is to be again after a restart."""
        return Kept(names=[self._kept(one) for one in self._rollouts.values()])

    def _kept(self, rollout: Rollout) -> KeptName:
        folders = {one: self._models[one].artifact.folder.absolute() for one in rollout.versions}
        return KeptName(
            name=rollout.name,
            versions=[KeptVersion(fingerprint=one, folder=folder) for one, folder in folders.items()],
            chosen=rollout.chosen,
            canary=rollout.canary or None,
            share=rollout.canary_share,
        )

    def restore(self, kept: Kept) -> None:
        """Which versions edges get, as it was kept; of those that are here."""
        for one in kept.names:
            if rollout := self._rollouts.get(one.name):
                known = [version.fingerprint for version in one.versions]
                rollout.restore(known, one.chosen, one.canary or "", one.share)
