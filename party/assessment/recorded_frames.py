"""The training stream of a recorded run, as each role received it: frames in order, with their numbers decoded.

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
from kernel.wire.codec import decode_tensor
from kernel.wire.tensor_frame import Payload, unpack_frame
from kernel.wire.transcripts import TRAINING_METHOD, read_transcript
from protos.v1 import common_pb2, split_training_pb2

SERVER = "neutral-server"


@dataclass(frozen=True, slots=True)
class Frame:
    """One message with numbers behind it. ``kind`` is its field in PartyFrame or ServerFrame, such as "cut_gradient"."""

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
    """What a role received on the training stream of a run, messages without numbers left out.

    Raises:
      BadInputError: the role has no transcript there.
    """
    message = split_training_pb2.PartyFrame if role == SERVER else split_training_pb2.ServerFrame
    parse: Callable[[bytes], Any] = message.FromString
    for record in read_transcript(transcript_of(directory, role)):
        if record.method != TRAINING_METHOD or not record.link.endswith(f">{role}"):
            continue
        frame = unpack_frame(parse, record.message)
        kind = frame.message.WhichOneof("kind")
        if frame.message.header.run == run and kind is not None and len(frame.payload):
            yield Frame(kind, frame.message.header, getattr(frame.message, kind), frame.payload)
