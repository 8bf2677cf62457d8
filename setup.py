"""What pyproject.toml cannot say.

On a package index README.md has no files beside it, so its links lead elsewhere; and what browsers compute with is
fetched as the package is built.
"""

import runpy
import shutil
import subprocess
import warnings
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
RUNTIME = ROOT / "inference_server" / "page" / "static" / "vendor" / "ort"


def fetch_runtime() -> None:
    """ONNX Runtime Web, where it is not there and can be had; a package without it is whole but for /edge."""
    script = ROOT / "scripts" / "web"
    if (RUNTIME / "VERSION").exists() or not script.exists():
        return
    if shutil.which("npm") is None or subprocess.run([script]).returncode:
        warnings.warn("This package has no ONNX Runtime Web, so /edge cannot compute; see scripts/web.", stacklevel=2)


class Build(build_py):
    def run(self) -> None:
        fetch_runtime()
        super().run()


class Source(sdist):
    def run(self) -> None:
        fetch_runtime()
        super().run()


setup(
    cmdclass={"build_py": Build, "sdist": Source},
    long_description=runpy.run_path(str(ROOT / "docs" / "site.py"))["absolute"](
        (ROOT / "README.md").read_text(encoding="utf-8"), ROOT
    ),
    long_description_content_type="text/markdown",
)
