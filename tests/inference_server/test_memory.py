"""Large blocks that were freed are the system's again, whatever small ones stay beside them."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
from pathlib import Path
import numpy as np
from inference_server.memory import return_large_blocks

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

if sys.argv[1] == "True":
    return_large_blocks()
np.ones(24 << 20, np.uint8)  # freed at once: the like of it is kept from now on
before, large, small = resident(), [], []
for _ in range(20):
    large.append(np.ones(4 << 20, np.uint8))
    small.append(bytearray(100_000))
del large
print(resident() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("returned", "least", "most"), [(True, 0, 10), (False, 20, 200)])
def test_large_blocks_are_returned(returned: bool, least: float, most: float) -> None:
    said = subprocess.run([sys.executable, "-c", SCRIPT, str(returned)], capture_output=True, text=True, check=True)
    assert least <= float(said.stdout) <= most
