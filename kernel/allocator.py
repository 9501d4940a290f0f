"""glibc's allocator, told to keep what a step frees instead of giving it back to the kernel and faulting it in again."""

import ctypes
from typing import Final

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # malloc.h: M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD
_NEVER: Final = 2**31 - 1
"""Two GiB free at the top of a heap: as good as never, and the most that mallopt takes."""
_LARGEST_ON_THE_HEAP: Final = 32 << 20
"""Of an array, in bytes: larger ones are mapped and unmapped, as without this. glibc takes no more."""
_PAD: Final = 64 << 20
"""By how much the heap grows at least, and what it keeps when a thread's heap empties."""


def keep_freed_memory() -> bool:
    """For a process that makes arrays of the same sizes in every step: freed memory stays the process's own.

    Without it a step that frees some ten megabytes hands them back and has each page zeroed and mapped anew in the next (measured: the dealer
    of a step on shares took three times as long). The price: a process that once needed much memory keeps it.

    Returns:
      whether this C library has such a setting; where it has none nothing is changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no glibc: musl, macOS, Windows
        return False
    settings = ((_TRIM_THRESHOLD, _NEVER), (_MMAP_THRESHOLD, _LARGEST_ON_THE_HEAP), (_TOP_PAD, _PAD))
    return all(mallopt(name, value) == 1 for name, value in settings)
