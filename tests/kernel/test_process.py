"""kernel.process: what ends a daemon must not be able to hang it."""

import subprocess
import sys

_ASKED_INSIDE_ITS_LOCK = """
import os, signal
from kernel.process import stop_signal

stop = stop_signal()
with stop._cond:  # where a signal may find the main thread that waits
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
assert stop.wait(20)
print("stopped")
"""


def test_a_signal_inside_the_events_own_lock_still_stops_a_daemon():
    """In a process of its own: what this is about hangs."""
    found = subprocess.run(
        [sys.executable, "-c", _ASKED_INSIDE_ITS_LOCK], capture_output=True, text=True, timeout=60, check=False
    )
    assert (found.returncode, found.stdout) == (0, "stopped\n"), found.stderr
