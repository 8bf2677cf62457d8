"""Models in registries of OCI artifacts: pushed and pulled, everything by its digest."""

from __future__ import annotations

from pathlib import Path

from wire.distribution.address import is_address, parse_address


def model_folder(model: str | Path) -> Path:
    """The folder of a model: itself, or where the model of an address, oci://HOST/NAME:TAG, was pulled to.

    Raises:
        UsageError: if it is no address.
        RegistryError: if the registry does not give the model.
        ArtifactError: if what it gives is none.
    """
    if not is_address(model):
        return Path(model)
    from wire.distribution.pull import pulled  # with an extra's packages

    return pulled(parse_address(str(model)))
