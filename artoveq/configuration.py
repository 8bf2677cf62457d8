"""Options of the commands from a file and from the environment; who misspells one is told what was meant.

[serve]
model = "models/imagewoof64-compact-progressive"
queue_pictures = 512

[watch]
server = "SERVER:50051"
budget = "200ms"
"""

from __future__ import annotations

import difflib
import logging
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from wire.exceptions import SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

log = logging.getLogger(__name__)

PREFIX = "ARTOVEQ_"
FILE = "ARTOVEQ_CONFIG"
OTHERS = frozenset({FILE, "ARTOVEQ_CACHE", "ARTOVEQ_CACHE_BYTES", "ARTOVEQ_LOG", "ARTOVEQ_LOG_LEVEL"})
"""Variables that are no option of a command."""
SERVE = "serve"
KUBERNETES = r"_SERVICE_(HOST|PORT)|_PORT_\d+_|^\w+=(tcp|udp)://"
"""What it tells every pod of a service, whose name may begin as our variables do."""

Tables = dict[str, dict[str, Any]]
"""By the command, what its options are."""


def read(path: Path, options: Mapping[str, Collection[str] | None]) -> Tables:
    """A table for each command, from a TOML file. options: what each command takes; those of `serve` are settings.

    None: a table that is meant for others, and not looked at.

    Raises:
        SettingsError: if the file cannot be read, or names what there is not.
    """
    try:
        tables = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The file {path} cannot be read ({error}).") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"The file {path} is not TOML ({error}).") from error
    for command, table in tables.items():
        if not isinstance(table, dict):
            raise SettingsError(f"In {path} {command} is outside a table; write it below [serve] or another command.")
        check([command], options, f"In {path} there is no command")
        if (known := options[command]) is not None:
            check(table, known, f"In {path}, [{command}], there is no option")
    return {command: {_key(name): value for name, value in table.items()} for command, table in tables.items()}


def check(names: Iterable[str], known: Iterable[str], fault: str) -> None:
    """Raises SettingsError that names what is not known, and what may have been meant."""
    if unknown := [name for name in names if _key(name) not in known]:
        raise SettingsError(f"{fault} {_meant(unknown[0], known)}")


def check_environment(
    environment: Mapping[str, str], known: Collection[str], served: Callable[[], Collection[str]], *, strict: bool
) -> None:
    """Names variables that begin as ours do and are none of `known`, nor of `served`, which is asked where it matters.

    Raises:
        SettingsError: if there is one, and strict; else what looks misspelt is a warning.
    """
    known = {*known, *OTHERS}
    ours = [name for name in sorted(environment) if name.startswith(PREFIX) and name not in known]
    unknown = [name for name in ours if not re.search(KUBERNETES, f"{name}={environment[name]}")]
    if unknown:
        known |= set(served())
    for name in unknown:
        if name in known:
            continue
        if strict:
            raise SettingsError(f"There is no setting {_meant(name, known)}")
        if close := _close(name, known):
            log.warning("There is no setting %r; did you mean %s?", name, close)


def _meant(name: str, known: Iterable[str]) -> str:
    close = _close(name, known)
    return f"{name!r}; did you mean {close}?" if close else f"{name!r}; look for its name in docs/settings.md."


def _close(name: str, known: Iterable[str]) -> str:
    begin = PREFIX if name.startswith(PREFIX) else ""  # which all of them share
    ends = [one.removeprefix(begin) for one in known]
    return next((begin + end for end in difflib.get_close_matches(_key(name).removeprefix(begin), ends, 1, 0.8)), "")


def _key(name: str) -> str:
    """Options are written as on the command line, or as in Python."""
    return name.replace("-", "_")
