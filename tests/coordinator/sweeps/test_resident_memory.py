"""Resident memory as /proc tells it: of files written by hand, and of this process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from coordinator.sweeps.resident_memory import MemoryWatch, Resident, check_proc, read_resident
from kernel.errors import BadInputError, PeerError

linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system has no /proc/<pid>/status")
MEGABYTE = 1 << 20


def proc_with(tmp_path, **statuses):
    """A /proc of its own: ``self`` and a directory a process."""
    for name, text in {"self": "VmHWM:\t 1 kB\n", **statuses}.items():
        directory = tmp_path / name.removeprefix("pid")
        directory.mkdir(exist_ok=True)
        (directory / "status").write_text(text)
    return tmp_path


def test_kilobytes_become_bytes(tmp_path):
    proc = proc_with(
        tmp_path, pid7="Name:\tpython\nVmPeak:\t  900 kB\nVmHWM:\t  640 kB\nVmRSS:\t  512 kB\nThreads:\t3\n"
    )
    assert read_resident(7, proc) == Resident(now=512 * 1024, peak=640 * 1024)


def test_a_process_that_is_gone_or_dead_is_named(tmp_path):
    proc = proc_with(tmp_path, pid8="Name:\tpython\nState:\tZ (zombie)\n")
    with pytest.raises(PeerError, match="process 7 is gone"):
        read_resident(7, proc)
    with pytest.raises(PeerError, match="process 8 has ended"):
        read_resident(8, proc)


@pytest.mark.parametrize("status", [None, "Name:\tpython\n"])
def test_a_system_without_proc_is_a_sentence(tmp_path, status):
    if status is not None:
        proc_with(tmp_path, self=status)
    for ask in (lambda: check_proc(tmp_path), lambda: read_resident(1, tmp_path)):
        with pytest.raises(
            BadInputError, match="no /proc/<pid>/status with VmRSS and VmHWM; run this benchmark on Linux"
        ):
            ask()


@linux
def test_memory_of_a_child_rises_with_what_it_holds():
    code = "print('up', flush=True); input(); held = bytearray(b'x') * (96 << 20); print(len(held), flush=True); del held; input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "up\n"  # not measured while it still starts
        with MemoryWatch({"child": child.pid}) as watch:
            before = watch.now()["child"]
            child.stdin.write("\n")
            child.stdin.flush()
            assert child.stdout.readline() == f"{96 << 20}\n"
            after = watch.now()["child"]
        assert after.peak - before.now > 90 * MEGABYTE
        assert after.peak >= after.now
        assert before.now > MEGABYTE
    finally:
        child.kill()
        child.communicate()


@linux
def test_a_series_keeps_the_peak_of_every_stretch(monkeypatch):
    watch = MemoryWatch({"me": os.getpid()})
    watch._series["me"] = [(float(second), 1000 if second == 37 else second) for second in range(100)]
    series = watch.series("me", 10)
    assert len(series) == 10
    assert series[3] == (37.0, 1000)
    assert [value for second, value in series if second != 37.0] == [9, 19, 29, 49, 59, 69, 79, 89, 99]
    assert watch.series("me", 1000) == watch._series["me"]
