"""While a run trains: parties listen on nothing, the two listeners on one port each, and no party has TensorFlow."""

import tomllib

import pytest
from house import NAMES, House, LongRun
from recordings import COORDINATOR, SERVER

pytestmark = pytest.mark.e2e


def test_every_process_was_looked_at_in_the_middle_of_an_epoch(long_run: LongRun):
    assert set(long_run.processes) == {SERVER, COORDINATOR, *NAMES}
    for name in ("clinic", "laboratory"):
        assert long_run.processes[name].sockets >= 2  # one to each listener: the look sees sockets


@pytest.mark.parametrize("party", NAMES)
def test_a_party_listens_on_nothing(long_run: LongRun, party: str):
    process = long_run.processes[party]
    assert (process.ports, process.udp, process.unix) == (frozenset(), frozenset(), frozenset())


@pytest.mark.parametrize("role", [SERVER, COORDINATOR])
def test_a_listener_has_the_one_port_of_its_config(long_run: LongRun, house: House, role: str):
    config = tomllib.loads((house.federation.roles / role / "config.toml").read_text(encoding="utf-8"))
    process = long_run.processes[role]
    assert process.ports == {int(config["listen"].rpartition(":")[2])}
    assert (process.udp, process.unix) == (frozenset(), frozenset())


def test_tensorflow_is_at_the_neutral_server_only(long_run: LongRun):
    loaded = {
        role: any("tensorflow" in file for file in process.libraries) for role, process in long_run.processes.items()
    }
    assert loaded == {SERVER: True, COORDINATOR: False, **dict.fromkeys(NAMES, False)}
    assert any("numpy" in file for file in long_run.processes["clinic"].libraries)  # the look sees libraries
