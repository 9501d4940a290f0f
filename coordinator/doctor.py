"""What `tertium doctor` checks for the coordinator."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from coordinator.clients import StackClient
from coordinator.settings import CoordinatorSettings
from kernel.errors import TertiumError
from kernel.process import load_identity, load_settings
from kernel.wire.diagnosis import Finding, reach, same_version_and_clock, writable


def examine(config: Path) -> Iterator[Finding]:
    """Findings in the order in which to mend them."""
    try:
        settings = load_settings(CoordinatorSettings, config)
        identity = load_identity(settings.tls, "coordinator", settings.name)
    except TertiumError as error:
        yield Finding(False, str(error), "mend this first", error.exit_code)
        return
    days = (identity.certificate.not_valid_after_utc - datetime.now(UTC)).days
    yield Finding(True, f"config and certificate: coordinator {settings.name!r}, {days} days left")
    yield writable("runs directory", settings.runs_directory)
    finding = reach(settings.neutral_server.address, identity, settings.neutral_server.name, "neutral-server")
    yield finding
    if finding.ok:
        client = StackClient(settings.neutral_server, identity)
        try:
            reply = client.describe()
            yield from same_version_and_clock("neutral server", reply.version, reply.unix_time_ms)
        except TertiumError as error:
            yield Finding(False, f"the neutral server: {error}", "look at its log")
        finally:
            client.close()
    _, _, port = settings.listen.rpartition(":")
    yield reach(f"127.0.0.1:{port}", identity, settings.name, "coordinator")
