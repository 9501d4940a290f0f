"""kernel/errors.py draws its tree for people; the classes are held to the drawing."""

import inspect
import re

import pytest

from kernel import errors
from kernel.errors import TertiumError
from kernel.wire.failures import error_of, failure_of

LINE = re.compile(r"^\s*(?P<branch>[│├└─ ]*)(?P<name>[A-Z]\w*Error)(?:\s+exit (?P<code>\d))?\s{2,}(?P<meaning>\S.*)$")
CLASSES = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind)}


def drawn():
    """Name -> (parent's name, exit code drawn or inherited)."""
    found = {}
    path = []
    for line in (errors.__doc__ or "").splitlines():
        match = LINE.match(line)
        if match is None:
            continue
        depth = len(match["branch"].rstrip()) // 4 + bool(match["branch"].strip())
        del path[depth:]
        parent = path[-1] if path else None
        code = int(match["code"]) if match["code"] else found[parent][1]
        found[match["name"]] = (parent, code)
        path.append(match["name"])
    return found


def test_the_drawing_is_read():
    assert drawn()["TertiumError"] == (None, 4)
    assert drawn()["FixedPointError"] == ("BadInputError", 2)


def test_every_class_is_drawn_and_every_drawn_one_exists():
    assert set(drawn()) == set(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_stands_where_it_is_drawn_with_its_exit_code(name):
    parent, code = drawn()[name]
    kind = CLASSES[name]
    assert kind.__bases__ == ((CLASSES[parent],) if parent else (Exception,))
    assert kind.exit_code == code


def test_the_exit_codes_are_those_the_command_promises():
    assert {kind.exit_code for kind in CLASSES.values()} == {2, 3, 4, 5}


@pytest.mark.parametrize("kind", CLASSES.values())
def test_an_error_keeps_its_exit_code_over_the_wire(kind):
    sent = kind("a sentence")
    received = error_of(failure_of(sent))
    assert isinstance(received, TertiumError)
    assert (received.exit_code, str(received)) == (kind.exit_code, "a sentence")


def test_no_error_is_raised_by_another_name_for_the_same():
    """Every public error of the project is of this tree: no package grows one of its own."""
    from importlib import import_module
    from pkgutil import walk_packages

    for package in ("kernel", "party", "neutral_server", "coordinator"):
        for module in walk_packages(import_module(package).__path__, f"{package}."):
            if module.name.startswith(("party.baseline", "coordinator.report", "coordinator.sweeps")):
                continue  # these import TensorFlow or matplotlib
            for name, kind in vars(import_module(module.name)).items():
                own = inspect.isclass(kind) and issubclass(kind, BaseException) and kind.__module__ == module.name
                assert not own or module.name == "kernel.errors", f"{module.name}.{name}"
