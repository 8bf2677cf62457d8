"""What a benchmark found, as one committed file: benchmarks/AREA/results/NAME.json, which tables and plots read."""

from __future__ import annotations

import datetime
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "benchmarks"


@dataclass(frozen=True)
class Bar:
    """A figure that must not be missed."""

    name: str
    value: float
    limit: float
    kind: Literal["at least", "at most"]

    @property
    def holds(self) -> bool:
        return self.value >= self.limit if self.kind == "at least" else self.value <= self.limit

    def __str__(self) -> str:
        verdict = "holds" if self.holds else "does not hold"
        return f"{self.name}: {self.value:g}, {self.kind} {self.limit:g}: {verdict}."


def results_path(area: str, name: str) -> Path:
    """Where a command's results lie."""
    return FOLDER / area / "results" / f"{name}.json"


def committed_bars(area: str, name: str) -> list[Bar]:
    """Of a command's results; none where it was not run."""
    bars = (read_results(area, name) or {"bars": []})["bars"]
    return [Bar(bar["name"], bar["value"], bar["limit"], bar["kind"]) for bar in bars]


def write_results(
    area: str, name: str, figures: Mapping[str, Any], bars: Iterable[Bar], command: str | None = None
) -> int:
    """Writes and prints what was found; bars that do not hold go to standard error.

    Args:
        area: The benchmark, a folder of benchmarks/.
        name: The command, or what else sets this file apart.
        figures: What was measured, as JSON.
        bars: What must hold.
        command: What makes the file again; this process's command line if left out.

    Returns:
        The exit code: 1 where a bar does not hold.
    """
    bars = list(bars)
    found = {
        "name": name,
        "command": command or shlex.join(["python", "-m", f"benchmarks.{area}", *sys.argv[1:]]),
        "commit": _commit(),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "figures": dict(figures),
        "bars": [{**asdict(bar), "holds": bar.holds} for bar in bars],
    }
    text = json.dumps(found, indent=1)
    path = results_path(area, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
    print(text)
    missed = [bar for bar in bars if not bar.holds]
    for bar in missed:
        print(bar, file=sys.stderr)
    return 1 if missed else 0


def read_results(area: str, name: str) -> dict[str, Any] | None:
    """What a command found when it was last run; None where it was not yet."""
    path = results_path(area, name)
    return json.loads(path.read_text()) if path.exists() else None


def _commit() -> str:
    """The short hash, with "-dirty" where the tree differs from it; results of earlier commands do not count."""
    if not (hash_ := _git("rev-parse", "--short", "HEAD")):
        return "unknown"
    changed = _git("status", "--porcelain", "-uall", "--", ".", ":(exclude,glob)benchmarks/*/results/**")
    return hash_ + ("-dirty" if changed else "")


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def _cpu() -> str:
    """The model, as Linux names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
