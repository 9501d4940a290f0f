"""The training stream of a recorded run, as each role received it: frames in order, with their numbers decoded; and, of layers on
shares, the shares of a party's own first-layer gradient.

Only local runs that were asked to be attacked, and evaluators' own recordings, have such transcripts (docs/threat_model.md).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import BadInputError
from kernel.plan_message import cut_dtype
from kernel.randomness import SecretKey
from kernel.wire.codec import decode_tensor
from kernel.wire.tensor_frame import Payload, unpack_frame
from kernel.wire.transcripts import FIRST_GRADIENT, OPENED_METHOD, OUTPUT, TRAINING_METHOD, Record, read_transcript
from protos.v1 import common_pb2, relay_pb2, split_training_pb2

SERVER = "neutral-server"
SUMMED = "first_gradient"
"""Kind of a share of X_j^T (dL/dz_1), which is revealed to party j. One share is its own."""
REVEALED = "output"
"""Kind of a share of the label head's output, where there is no neutral server; the same."""
_OPENED = {OPENED_METHOD + FIRST_GRADIENT: SUMMED, OPENED_METHOD + OUTPUT: REVEALED}


@dataclass(frozen=True, slots=True)
class Frame:
    """One message with numbers behind it. ``kind`` is its field in PartyFrame or ServerFrame, such as "cut_gradient", or one of ``SUMMED``
    and ``REVEALED``."""

    kind: str
    header: common_pb2.StepHeader
    tensor: Any  # Tensor or RingTensor
    payload: Payload

    @property
    def piece(self) -> int:
        """Its place among the pieces of its step: a batch may come in several, in the order of its rows."""
        return int(self.header.micro_batch)

    @property
    def rows(self) -> int:
        return int(self.tensor.shape[0])

    def values(self) -> NDArray[Any]:
        """float32[rows, width], or the ring's words of a share."""
        shape = tuple(self.tensor.shape)
        if isinstance(self.tensor, common_pb2.RingTensor):
            return np.frombuffer(self.payload, f"<u{self.tensor.ring_bits // 8}").reshape(shape)
        return decode_tensor(
            self.tensor, self.payload, dtype=cut_dtype(self.tensor.dtype), shape=shape, what=f"a recorded {self.kind}"
        )


def transcript_of(directory: Path, role: str) -> Path:
    """The file of one role.

    Raises:
      BadInputError: there is none.
    """
    path = directory / f"{role}.transcript"
    if not path.is_file():
        raise BadInputError(
            f"there is no transcript of {role!r} in {directory}, and an attack reads what a role received; "
            "record the run: `tertium run PLAN --local --attacks quick`, or `--record DIRECTORY` to keep the recording"
        )
    return path


def training_frames(directory: Path, role: str, run: str) -> Iterator[Frame]:
    """What a role received on the training stream of a run, messages without numbers left out; and what peers revealed to it.

    Raises:
      BadInputError: the role has no transcript there.
    """
    for record in read_transcript(transcript_of(directory, role)):
        if not record.link.endswith(f">{role}"):
            continue
        if record.method in _OPENED:
            envelope = unpack_frame(relay_pb2.Envelope.FromString, record.message)
            opening = unpack_frame(relay_pb2.Opening.FromString, bytes(envelope.payload))
            header = envelope.message.header.step
            if header.run == run:
                yield Frame(_OPENED[record.method], header, opening.message.words, opening.payload)
        elif record.method == TRAINING_METHOD:
            message, payload = _streamed(role, record)
            kind = message.WhichOneof("kind")
            if message.header.run == run and kind is not None and len(payload):
                yield Frame(kind, message.header, getattr(message, kind), payload)


def gradient_seeds(directory: Path, role: str, run: str) -> dict[int, SecretKey]:
    """By run generation, the seed of a party's shares of gradients; no entry where it was sent none.

    Raises:
      BadInputError: the role has no transcript there.
    """
    found = {}
    for record in read_transcript(transcript_of(directory, role)):
        if record.method == TRAINING_METHOD and record.link.endswith(f">{role}"):
            message, _ = _streamed(role, record)
            if message.header.run == run and message.WhichOneof("kind") == "joined" and message.joined.gradient_seed:
                found[int(message.header.generation)] = SecretKey(message.joined.gradient_seed)
    return found


def _streamed(role: str, record: Record) -> tuple[Any, Payload]:
    message = split_training_pb2.PartyFrame if role == SERVER else split_training_pb2.ServerFrame
    parse: Callable[[bytes], Any] = message.FromString
    frame = unpack_frame(parse, record.message)
    return frame.message, frame.payload
