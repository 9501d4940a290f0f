"""An evaluator's record of what a role received: every serialised message, in order.

Off unless a daemon's config names a transcript directory. The file is a list of records: a length-prefixed JSON header
{link, method} and a length-prefixed message. With the scope "training" it holds the training stream alone, as the role
received it: shares, activations and gradients, and what sealed envelopes revealed of first-layer gradients and of outputs,
which is all that an attack on a run needs. It is its owner's alone to read.
"""

import json
import os
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

TranscriptScope = Literal["all", "training"]
TRAINING_METHOD = "/tertium.v1.SplitTraining/Train"
OPENED_METHOD = "opened/"
"""Before the topic of an envelope: its payload as its receiver read it, behind the envelope's message."""
FIRST_GRADIENT = "first-gradient"
"""The topic of shares whose sum is the receiver's own first-layer gradient; its own share is recorded beside them."""
OUTPUT = "output"
"""The same of shares of the label head's output, where there is no neutral server."""
TRAINING_BYTES = 2 << 30
"""What a role records of a training stream at most; later messages are left out, and so the epochs they belong to."""
_TRAINING = (TRAINING_METHOD, OPENED_METHOD + FIRST_GRADIENT, OPENED_METHOD + OUTPUT)


@dataclass(frozen=True)
class Record:
    link: str  # "party-a>neutral-server"; ">name" where only the receiver is known
    method: str  # "/tertium.v1.SplitTraining/Train"
    message: bytes


class TranscriptWriter:
    """Called by meters and interceptors as ``writer(link, method, message)``.

    Args:
      path: appended to, behind the last whole record: a writer that was killed leaves a torn one, which goes.
      receiver: with a name, only what this role receives on the training stream, and what peers reveal to it, is written, up
        to ``TRAINING_BYTES``.
    """

    def __init__(self, path: Path, receiver: str | None = None) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # rows can be read off it, so not for others on this machine; an older file may be wider
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.fchmod(descriptor, 0o600)
        os.ftruncate(descriptor, _whole_bytes(path))
        self._file = os.fdopen(descriptor, "ab")
        self._receiver = receiver
        self._lock = threading.Lock()

    def __call__(self, link: str, method: str, message: bytes) -> None:
        if self._receiver is not None and (method not in _TRAINING or not link.endswith(f">{self._receiver}")):
            return
        header = json.dumps({"link": link, "method": method}).encode()
        with self._lock:
            if self._receiver is not None and self._file.tell() + len(message) > TRAINING_BYTES:
                return
            self._file.write(struct.pack(">I", len(header)) + header + struct.pack(">Q", len(message)))
            self._file.write(message)
            self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_transcript(path: Path) -> Iterator[Record]:
    """The records of a file; a torn last one is left out."""
    with path.open("rb") as file:
        while (header := _block(file, ">I")) is not None and (message := _block(file, ">Q")) is not None:
            fields = json.loads(header)
            yield Record(fields["link"], fields["method"], message)


def _whole_bytes(path: Path) -> int:
    """Up to where records are whole; skips over the messages, which may be 2 GiB."""
    whole, size = 0, path.stat().st_size
    with path.open("rb") as file:
        while _skip(file, ">I", size) and _skip(file, ">Q", size):
            whole = file.tell()
    return whole


def _skip(file: BinaryIO, prefix: str, size: int) -> bool:
    """Past one length-prefixed block; False where it does not end within ``size``."""
    length = file.read(struct.calcsize(prefix))
    if len(length) < struct.calcsize(prefix):
        return False
    return file.seek(struct.unpack(prefix, length)[0], os.SEEK_CUR) <= size


def _block(file: BinaryIO, size: str) -> bytes | None:
    prefix = file.read(struct.calcsize(size))
    if len(prefix) < struct.calcsize(size):
        return None
    length = struct.unpack(size, prefix)[0]
    block = file.read(length)
    return block if len(block) == length else None
