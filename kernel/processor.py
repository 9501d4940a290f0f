"""What this machine's processor can do, where that decides which of two ways is the faster one."""

import os
from functools import cache


@cache
def has(feature: str) -> bool:
    """Whether it has a feature, by LLVM's name: ``avx512dq``, ``avx512vnni``."""
    from llvmlite.binding import get_host_cpu_features  # late, with numba, which compiles for these features

    return bool(get_host_cpu_features().get(feature, False))


def cores() -> int:
    """Those this process may run on; all of them where a system has no affinity (macOS, Windows)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
