"""Who signs the models of a server: whoever did so when an edge first met one, until a person says otherwise."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from wire.exceptions import SignatureError
from wire.files import replace_synced
from wire.shown import without_secrets
from wire.signatures import signer_of

log = logging.getLogger(__name__)

FOLDER = "signers"
Fetch = Callable[[], Awaitable[tuple[bytes, bytes] | None]]
"""Gives a model's signature and the key to check it; None where it has none."""


class Signers:
    """What is remembered of servers' signers, in a cache's folder; an edge that cannot check remembers nothing.

    CACHE/signers/HASH    the signer of an address
    """

    def __init__(self, cache: Path) -> None:
        self._folder = cache / FOLDER

    async def check(self, address: str, manifest: bytes, fetch: Fetch) -> None:
        """Takes a model of an address, or does not.

        Raises:
            SignatureError: if it is signed by nobody, or by somebody else, where others of the address were.
        """
        path = self._folder / hashlib.sha256(address.encode(errors="replace")).hexdigest()
        before = _signer_in(path)
        if before is None and importlib.util.find_spec("model_signing") is None:
            return
        found, shown = await fetch(), without_secrets(address)
        if found is None:
            if before is not None:
                raise SignatureError(
                    f"{shown} serves a model that nobody has signed, and its models were signed by {before}; have this "
                    f"one signed, or delete {path} if that is meant."
                )
            return
        signer = signer_of(manifest, *found)
        if before is None:
            with contextlib.suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
            try:
                replace_synced(path, json.dumps({"address": shown, "signer": signer}).encode())
            except OSError as error:
                log.warning("Who signs the models of %s cannot be remembered in %s (%s).", shown, path, error.strerror)
            log.info("The models of %s are signed by %s, and taken from nobody else from now on.", shown, signer)
        elif signer != before:
            raise SignatureError(
                f"The model of {shown} is signed by {signer}, and its models were signed by {before}. Ask whoever runs "
                f"the server; if that is meant, delete {path}, and the next signer is taken."
            )


def _signer_in(path: Path) -> str | None:
    """Raises SignatureError where what was remembered cannot be read: it is not forgotten for that."""
    try:
        return str(json.loads(path.read_bytes())["signer"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise SignatureError(f"{path} says who signs models, and cannot be read; mend it, or delete it.") from error
