"""What `tertium doctor` checks for the neutral server."""

from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from kernel.errors import TertiumError
from kernel.process import load_identity, load_settings
from kernel.wire.diagnosis import Finding, reach, writable
from neutral_server.settings import NeutralServerSettings


def examine(config: Path) -> Iterator[Finding]:
    """Findings in the order in which to mend them."""
    try:
        settings = load_settings(NeutralServerSettings, config)
        identity = load_identity(settings.tls, "neutral-server", settings.name)
    except TertiumError as error:
        yield Finding(False, str(error), "mend this first", error.exit_code)
        return
    days = (identity.certificate.not_valid_after_utc - datetime.now(UTC)).days
    yield Finding(True, f"config and certificate: neutral server {settings.name!r}, {days} days left")
    yield writable("state directory", settings.state_directory)
    if settings.hidden_stack != "numpy":
        yield Finding(
            find_spec("tensorflow") is not None,
            "TensorFlow is installed",
            'install it: pip install "tertium[neutral-server]"; or train small stacks only: hidden_stack = "numpy"',
            2,
        )
    _, _, port = settings.listen.rpartition(":")
    yield reach(f"127.0.0.1:{port}", identity, settings.name, "neutral-server")
