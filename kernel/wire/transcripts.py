"""An evaluator's record of what a role received: every serialised message, in order.

Off unless a daemon's config names a transcript directory. The file is a list of records: a length-prefixed JSON header
{link, method} and a length-prefixed message.
"""

import json
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


@dataclass(frozen=True)
class Record:
    link: str  # "party-a>neutral-server"; ">name" where only the receiver is known
    method: str  # "/tertium.v1.SplitTraining/Train"
    message: bytes


class TranscriptWriter:
    """Called by meters and interceptors as ``writer(link, method, message)``."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        self._lock = threading.Lock()

    def __call__(self, link: str, method: str, message: bytes) -> None:
        header = json.dumps({"link": link, "method": method}).encode()
        with self._lock:
            self._file.write(struct.pack(">I", len(header)) + header + struct.pack(">Q", len(message)) + message)
            self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_transcript(path: Path) -> Iterator[Record]:
    """The records of a file; a torn last one is left out."""
    with path.open("rb") as file:
        while (header := _block(file, ">I")) is not None and (message := _block(file, ">Q")) is not None:
            fields = json.loads(header)
            yield Record(fields["link"], fields["method"], message)


def _block(file: BinaryIO, size: str) -> bytes | None:
    prefix = file.read(struct.calcsize(size))
    if len(prefix) < struct.calcsize(size):
        return None
    length = struct.unpack(size, prefix)[0]
    block = file.read(length)
    return block if len(block) == length else None
