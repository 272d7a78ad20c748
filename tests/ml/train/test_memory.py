"""A training process keeps the memory of a step for the next one."""

from __future__ import annotations

import subprocess
import sys

import pytest

STEPS = """
import resource, sys
import numpy as np
from ml.train.memory import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
for step in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.ones(40_000_000, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults_of_second_step(kept: str) -> int:
    done = subprocess.run([sys.executable, "-c", STEPS, kept], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="needs glibc")
def test_a_second_step_gets_its_memory_without_page_faults() -> None:
    assert page_faults_of_second_step("kept") < 50
    assert page_faults_of_second_step("returned") > 50
