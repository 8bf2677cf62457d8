"""Runs a target under Atheris, which looks for inputs that reach new lines of ours, or of Pillow.

What is new is kept beside the committed corpus, in .fuzz/TARGET; what ends in a fault is written to .fuzz, too, and
`python -m tests.fuzz TARGET FILE` does it again. Further options go to libFuzzer.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from pathlib import Path

from tests.fuzz import CORPUS, TARGETS

GUIDED_BY = ["PIL", "edge_client", "inference_server", "tests.fuzz", "wire"]
SCRATCH = Path(".fuzz")
LIMITS = ["-timeout=20", "-rss_limit_mb=2048", "-max_len=16384"]
"""Seconds and memory that one input may take."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--minutes", type=float, default=10)
    given, further = parser.parse_known_args()
    try:
        import atheris
    except ImportError:
        sys.exit("Atheris has no build for this Python; take 3.11 to 3.13 on Linux.")
    logging.disable(logging.WARNING)
    with atheris.instrument_imports(include=GUIDED_BY):
        target = importlib.import_module(f"tests.fuzz.{given.target}")
    where = [str(SCRATCH / given.target), str(CORPUS / given.target)]
    if any(not option.startswith("-") for option in further):  # files, to be done again
        where = []
    else:
        Path(where[0]).mkdir(parents=True, exist_ok=True)
    limits = [*LIMITS, f"-max_total_time={max(1, round(60 * given.minutes))}", f"-artifact_prefix={SCRATCH}/"]
    atheris.Setup([sys.argv[0], *where, *limits, *further], target.check)
    atheris.Fuzz()


main()
