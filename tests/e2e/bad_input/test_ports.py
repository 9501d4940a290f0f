"""A port that is taken, or an address that is none: one sentence, exit code 2, and whoever had the port keeps it."""

import socket
from contextlib import closing

import pytest
from hand_made_federation import write_toml

from coordinator.local.links.placement import free_port


@pytest.mark.e2e
@pytest.mark.parametrize("role", ["neutral-server", "coordinator"])
def test_a_port_that_another_daemon_has(role, federation, command):
    """The same config a second time."""
    address = federation.documents[role]["listen"]
    outcome = command(role, "serve", federation.config(role))
    outcome.refused(2, f"cannot listen on {address}: the port is in use or the address is not this machine's")
    with closing(federation.client()) as client:
        status = client.status()
    assert list(status.attending) == ["ann", "bob", "cat"]
    assert status.neutral_server == "neutral-server"


@pytest.mark.e2e
def test_a_port_that_another_program_has(federation, command, tmp_path):
    role = "neutral-server"
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        config = write_toml(tmp_path / role / "config.toml", {**federation.documents[role], "listen": address})
        command(role, "serve", config).refused(
            2, f"cannot listen on {address}", "stop the other process or change `listen`"
        )


@pytest.mark.e2e
def test_an_address_that_is_not_this_machines(federation, command, tmp_path):
    address = f"192.0.2.1:{free_port()}"  # RFC 5737: nobody's
    config = write_toml(tmp_path / "config.toml", {**federation.documents["coordinator"], "listen": address})
    command("coordinator", "serve", config).refused(2, f"cannot listen on {address}")
