"""kernel.allocator: pages of freed arrays are not faulted in again. Counted, not timed; in processes of their own, for it lasts."""

import platform
import subprocess
import sys

import pytest

from kernel.allocator import keep_freed_memory

COUNT = """
import resource, sys
import numpy as np
from kernel.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.ones((5000, 8), np.uint64) for _ in range(150)]
    del arrays
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print([step() for _ in range(5)][-1])
"""


def faults_of_a_step(how: str) -> int:
    return int(subprocess.run([sys.executable, "-c", COUNT, how], check=True, capture_output=True, timeout=60).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_what_a_step_frees_is_there_in_the_next():
    """150 arrays of 79 pages; the fifth step's. Without the setting at least half of them are faulted in anew."""
    assert faults_of_a_step("as it was") > 150 * 79 // 2
    assert faults_of_a_step("kept") < 150


def test_another_library_is_left_alone(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    assert not keep_freed_memory()
