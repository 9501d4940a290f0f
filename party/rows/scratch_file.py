"""A party's scratch space on disk: readable by its owner alone, nameless from the start, gone with its process."""

import os
import tempfile
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import RowsError, TertiumError


class ScratchFile:
    """Arrays at offsets, by preadv and pwrite: what is read is not mapped, so resident memory is not the file.

    The file (mode 0600) loses its name before anything is written to it: whatever ends the process, kill -9 too, ends
    the file. Reads, writes and ``close`` may come from different threads.
    """

    def __init__(self, directory: Path) -> None:
        """Raises RowsError where no file can be made in ``directory`` (which is made if need be)."""
        self._directory, self._lock = directory, threading.Lock()
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._descriptor, name = tempfile.mkstemp(prefix="rows-", dir=directory)
            Path(name).unlink()
        except OSError as error:
            raise self._refused(error) from error
        self._finalizer = weakref.finalize(self, os.close, self._descriptor)

    def read_into(self, array: NDArray[Any], offset: int) -> None:
        """Fill a C-contiguous array from the byte at ``offset`` on.

        Raises:
          TertiumError: fewer bytes were written there, or the file is closed.
        """
        rest = array.data.cast("B") if array.size else memoryview(b"")
        with self._lock:
            self._check_open()
            while rest:
                got = os.preadv(self._descriptor, [rest], offset)
                if got == 0:
                    raise TertiumError(f"the scratch file ends {len(rest)} bytes early; run the job again")
                rest, offset = rest[got:], offset + got

    def write(self, array: NDArray[Any], offset: int) -> None:
        """Put a C-contiguous array at the byte ``offset``.

        Raises:
          RowsError: the disk is full; TertiumError: the file is closed.
        """
        rest = array.data.cast("B") if array.size else memoryview(b"")
        with self._lock:
            self._check_open()
            try:
                while rest:
                    put = os.pwrite(self._descriptor, rest, offset)
                    rest, offset = rest[put:], offset + put
            except OSError as error:
                raise self._refused(error) from error

    def close(self) -> None:
        """Give the space back; a second time is harmless."""
        with self._lock:
            self._finalizer()

    def _check_open(self) -> None:
        if not self._finalizer.alive:
            raise TertiumError("the rows on disk were closed; prepare the run again")

    def _refused(self, error: OSError) -> RowsError:
        return RowsError(
            f"rows cannot be kept in {self._directory}: {error.strerror or error}; free some space there, or choose "
            "another state_directory"
        )


def row_bytes(columns: int) -> int:
    """Of one float32 row."""
    return columns * np.dtype(np.float32).itemsize
