"""The neutral server's config file."""

from typing import Literal

from pydantic import Field

from kernel.process import ConfigPath, TlsSettings
from kernel.settings import Settings
from kernel.wire.transcripts import TranscriptScope

StackKind = Literal["auto", "numpy", "tensorflow"]


class NeutralServerSettings(Settings):
    name: str = Field("neutral-server", description="as in the certificate")
    listen: str = Field("0.0.0.0:7443", description="host:port the parties and the coordinator dial")
    state_directory: ConfigPath = Field(description="weights and barriers of the hidden stack")
    tls: TlsSettings
    log_json: bool = Field(False, description="JSON lines instead of readable ones")
    transcript_directory: ConfigPath | None = Field(None, description="evaluators only: record every received message")
    transcript_scope: TranscriptScope = Field("all", description="`training`: only what arrives on the training stream")
    hidden_stack: StackKind = Field(
        "auto",
        description="what computes the hidden layers; auto: numpy for small ones (48 units or fewer), else TensorFlow",
    )
    wait_seconds: float = Field(
        45.0,
        gt=0,
        description="longest wait for a party that others wait for in a step; below the parties' own (60), so that the run names who hung",
    )
    tensorflow_threads: int = Field(
        0, ge=0, description="threads of one TensorFlow operation; 0: half the cores, all for a shared discriminator"
    )
