"""What pyproject.toml cannot say: on a package index README.md has no files beside it, so its links lead elsewhere."""

import runpy
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).resolve().parent

setup(
    long_description=runpy.run_path(str(ROOT / "docs" / "site.py"))["absolute"](
        (ROOT / "README.md").read_text(encoding="utf-8"), ROOT
    ),
    long_description_content_type="text/markdown",
)
