"""The coordinator's config file."""

from pydantic import Field

from kernel.process import ConfigPath, TlsSettings
from kernel.settings import Settings


class ServerAddress(Settings):
    """Where the neutral server listens, and the name its certificate must bear."""

    address: str = Field(description="host:port")
    name: str = "neutral-server"


class CoordinatorSettings(Settings):
    name: str = Field("coordinator", description="as in the certificate")
    listen: str = Field("0.0.0.0:7442", description="host:port parties and operators dial")
    neutral_server: ServerAddress
    runs_directory: ConfigPath = Field(description="run directories: plan, events, metrics, report")
    tls: TlsSettings
    secrets_key: ConfigPath | None = Field(
        None,
        description="key for what the neutral server must not know; default secrets.key beside the run directories",
    )
    wait_seconds: float = Field(60.0, gt=0, description="longest wait for a party to attend or to answer a short order")
    epoch_seconds: float = Field(
        86400.0, gt=0, description="longest wait for an epoch; stalls within are found by the parties"
    )
    log_json: bool = Field(False, description="JSON lines instead of readable ones")
    transcript_directory: ConfigPath | None = Field(None, description="evaluators only: record every received message")
