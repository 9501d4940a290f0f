"""Writes that survive kill -9. The kernel's only file I/O beside transcripts: durability must have one truth.

A barrier is a directory of parts and a manifest. Parts are written and fsynced first, the manifest with their hashes
and the plan hash last, then the directory is renamed into place: a barrier that can be read is whole.
"""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from kernel.errors import BadInputError, TertiumError

Arrays = Mapping[str, NDArray[Any]]
_MANIFEST = "manifest.json"


def write_durably(path: Path, data: bytes) -> None:
    """Replace ``path`` in one step: write aside, fsync, rename, fsync the directory."""
    with durable_file(path) as file:
        file.write(data)


@contextmanager
def durable_file(path: Path) -> Iterator[BinaryIO]:
    """As ``write_durably``, for what is too long to be held: ``path`` is replaced if the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".part")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # state is its owner's alone
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    aside.replace(path)
    _sync_directory(path.parent)


def append_durably(path: Path, line: str) -> None:
    """Append one line and fsync."""
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


class BarrierStore:
    """Barriers of one run at one role: ``directory/<number>/<part>.npz`` and a manifest."""

    def __init__(self, directory: Path, plan_hash: bytes, *, keep: int = 2) -> None:
        self._directory = directory
        self._plan_hash = plan_hash.hex()
        self._keep = keep

    def hold(self, number: int, parts: Mapping[str, Arrays]) -> bytes:
        """Persist a barrier; returns the SHA-256 of its manifest. Barrier 0 and the newest ``keep`` ones stay."""
        target = self._directory / str(number)
        aside = self._directory / f"{number}.part"
        shutil.rmtree(aside, ignore_errors=True)
        hashes = {}
        for name, arrays in parts.items():
            buffer = io.BytesIO()
            np.savez(buffer, **dict(arrays))  # type: ignore[arg-type]
            write_durably(aside / f"{name}.npz", buffer.getvalue())
            hashes[name] = hashlib.sha256(buffer.getvalue()).hexdigest()
        manifest = json.dumps(
            {"barrier": number, "plan_hash": self._plan_hash, "parts": hashes}, sort_keys=True
        ).encode()
        write_durably(aside / _MANIFEST, manifest)
        _discard(target)
        aside.replace(target)
        _sync_directory(self._directory)
        for old in [held for held in self.held() if held != 0][: -self._keep]:
            _discard(self._directory / str(old))
        return hashlib.sha256(manifest).digest()

    def held(self) -> list[int]:
        """Barriers of this plan that are whole, oldest first."""
        numbers = []
        for manifest in self._directory.glob(f"*/{_MANIFEST}"):
            if manifest.parent.name.isdigit() and json.loads(manifest.read_bytes())["plan_hash"] == self._plan_hash:
                numbers.append(int(manifest.parent.name))
        return sorted(numbers)

    def load(self, number: int) -> dict[str, dict[str, NDArray[Any]]]:
        """The parts of a barrier.

        Raises:
          BadInputError: not held under this plan; TertiumError: a part does not match its hash.
        """
        if number not in self.held():
            raise BadInputError(
                f"barrier {number} of this plan is not held in {self._directory.name}; held: {self.held()}"
            )
        directory = self._directory / str(number)
        parts = {}
        for name, wanted in json.loads((directory / _MANIFEST).read_bytes())["parts"].items():
            part = directory / f"{name}.npz"
            data = part.read_bytes() if part.exists() else b""
            if hashlib.sha256(data).hexdigest() != wanted:
                raise TertiumError(
                    f"part {name!r} of barrier {number} was changed or removed after it was written; restore it or resume from another barrier"
                )
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                parts[name] = {key: arrays[key] for key in arrays.files}
        return parts


def _discard(barrier: Path) -> None:
    """The manifest goes first: killed half way, what is left is not listed."""
    (barrier / _MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(barrier, ignore_errors=True)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
