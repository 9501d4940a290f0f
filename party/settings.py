"""A party's config file: who it is, whom it dials, its tables, and what it accepts."""

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from kernel.process import ConfigPath, TlsSettings
from kernel.settings import Settings
from kernel.wire.transcripts import TranscriptScope
from party.rows.schema import TableSettings


class PeerAddress(Settings):
    """A listening role: where it is, and the name its certificate must bear."""

    address: str = Field(description="host:port")
    name: str


class PolicySettings(Settings):
    """What this party accepts from a plan; everything not named is refused, before any row is read."""

    peers: dict[str, str] = Field(description="party name -> certificate fingerprint, `sha256:…` (tertium certs show)")
    job_kinds: tuple[Literal["split_nn", "privgan", "gan"], ...] = Field(
        ("split_nn",), description="job kinds this party takes part in"
    )
    columns: dict[str, tuple[str, ...]] = Field(
        description="table -> columns (or ranges V1..V14) a plan may use as input"
    )
    labels: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="table -> columns a plan may use as its label; training gives a label away to every role",
    )
    reveal_h1: bool = Field(
        False,
        description="accept plans with a defender: every party, this one too, is sent h1, from which it may learn rows of others",
    )
    shared_gradient: bool = Field(
        False,
        description="take part in split training only where gradient and first-layer weights are shared: an open gradient tells labels to every party",
    )
    synthetic_rows: tuple[str, ...] = Field(
        (),
        description="tables of which generators may be trained and synthetic rows, without differential privacy, be sent to the coordinator, "
        "to the parties that judge them, and in mode fakes to the neutral server",
    )

    @field_validator("peers")
    @classmethod
    def _fingerprints(cls, peers: dict[str, str]) -> dict[str, str]:
        for name, pin in peers.items():
            if not pin.startswith("sha256:") or len(pin) != len("sha256:") + 64:
                raise ValueError(
                    f"the pin of {name!r} is not `sha256:` and 64 hex digits; print it with `tertium certs show`"
                )
        return peers


class PartySettings(Settings):
    name: str = Field(description="as in the certificate")
    coordinator: PeerAddress
    neutral_server: PeerAddress
    state_directory: ConfigPath = Field(description="weights, barriers, predictions, the initialisation key")
    tls: TlsSettings
    tables: dict[str, TableSettings]
    policy: PolicySettings
    data_directory: ConfigPath | None = Field(
        None, description="where fraud, distress, adult and mnist lie; default $TERTIUM_DATA"
    )
    wait_seconds: float = Field(60.0, gt=0, description="longest wait for any other process within a run")
    tensorflow_threads: int = Field(
        0,
        ge=0,
        description="threads of one TensorFlow operation, which only a defender and GANs need; 0: half the cores",
    )
    log_json: bool = Field(False, description="JSON lines instead of readable ones")
    transcript_directory: ConfigPath | None = Field(None, description="evaluators only: record every received message")
    transcript_scope: TranscriptScope = Field("all", description="`training`: only what arrives on the training stream")

    @field_validator("tables")
    @classmethod
    def _sources_beside_config(cls, tables: dict[str, TableSettings], info: ValidationInfo) -> dict[str, TableSettings]:
        base = (info.context or {}).get("base")
        if base is None:
            return tables
        return {
            name: table
            if table.source.startswith("builtin:")
            else table.model_copy(update={"source": str(Path(base) / table.source)})
            for name, table in tables.items()
        }
