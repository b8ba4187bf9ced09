"""What importing the package does."""

from __future__ import annotations

import os
import subprocess
import sys

SCRIPT = """
import memorybank, numpy, os
matrix = numpy.ones((4_000, 384), dtype=numpy.float32)
for _ in range(20):
    matrix @ matrix[0]
print(len(os.listdir("/proc/self/task")))
"""


def test_products_of_matrices_start_no_threads() -> None:
    environ = {name: value for name, value in os.environ.items() if "OPENBLAS" not in name}
    done = subprocess.run(  # our own program
        [sys.executable, "-c", SCRIPT], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "1"
