"""neutral_server.daemon: which of the two stacks computes a network, and what is said where TensorFlow is missing."""

from types import SimpleNamespace

import pytest

from kernel.errors import BadInputError
from kernel.network import NetworkSpec, OptimizerSpec
from neutral_server import daemon
from neutral_server.hidden_stack import HiddenStack
from neutral_server.small_stack import SmallStack


def network(*widths):
    return NetworkSpec(widths, ("relu",) * len(widths), "binary", 1, OptimizerSpec("sgd", 0.1), 3)


@pytest.mark.parametrize(
    ("kind", "widths", "wanted"),
    [
        ("auto", (8, 8), SmallStack),
        ("auto", (32, 16), SmallStack),
        ("auto", (32, 17), HiddenStack),
        ("numpy", (400, 16), SmallStack),
        ("tensorflow", (2,), HiddenStack),
    ],
)
def test_the_config_or_the_number_of_units_decides(kind, widths, wanted, monkeypatch):
    asked = []
    monkeypatch.setattr(daemon, "_import_tensorflow", asked.append)  # threads are the process's, and this one is shared
    stack = daemon._make_stack(network(*widths), SimpleNamespace(hidden_stack=kind, tensorflow_threads=3))
    assert type(stack) is wanted
    assert asked == ([3] if wanted is HiddenStack else [])


def test_a_large_stack_without_tensorflow_is_refused_with_the_remedy(monkeypatch):
    def missing(threads):
        raise ModuleNotFoundError("tensorflow")

    monkeypatch.setattr(daemon, "_import_tensorflow", missing)
    settings = SimpleNamespace(hidden_stack="auto", tensorflow_threads=0)
    with pytest.raises(BadInputError, match=r"a stack of 100 units needs TensorFlow .* pip install"):
        daemon._make_stack(network(100), settings)
    assert isinstance(daemon._make_stack(network(8), settings), SmallStack)


@pytest.mark.parametrize(
    ("told", "cores", "of_a_stack", "of_a_shared_discriminator"),
    [(0, 8, 4, 8), (0, 1, 1, 1), (3, 8, 3, 3)],
)
def test_threads_of_an_operation(told, cores, of_a_stack, of_a_shared_discriminator, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(daemon, "_import_tensorflow", asked.append)
    monkeypatch.setattr(daemon, "cores", lambda: cores)
    settings = SimpleNamespace(
        hidden_stack="auto", tensorflow_threads=told, name="server", state_directory=tmp_path, wait_seconds=60.0
    )
    daemon._make_stack(network(100), settings)
    daemon._run_table(settings)._require_tensorflow("a shared discriminator")
    assert asked == [of_a_stack, of_a_shared_discriminator]
