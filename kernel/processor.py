"""What the processor can do, where that decides which of two ways is the faster one."""

from functools import cache


@cache
def has_avx512() -> bool:
    from llvmlite.binding import get_host_cpu_features  # late, with numba, which compiles for these features

    return bool(get_host_cpu_features().get("avx512dq", False))
