"""kernel.secret.spec.StepSize: which numbers shares can be multiplied by exactly."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import SettingsError
from kernel.secret.spec import StepSize


@pytest.mark.parametrize(
    ("value", "multiplier", "exponent"),
    [
        (1.0, 1, 0),
        (0.5, 1, 1),
        (0.03125, 1, 5),
        (0.875, 7, 3),
        (0.8984375, 115, 7),
        (2.0**-24, 1, 24),
        (255 * 2.0**-24, 255, 24),
        (128.0, 128, 0),
        (255.0, 255, 0),
        (3.0, 3, 0),
    ],
)
def test_hand_worked(value, multiplier, exponent):
    step = StepSize.of(value, "learning_rate")
    assert (step.multiplier, step.exponent) == (multiplier, exponent)
    assert step.value == value


@given(st.integers(1, 255), st.integers(0, 24))
def test_every_multiplier_over_a_power_of_two_is_exact(multiplier, exponent):
    step = StepSize.of(multiplier / 2**exponent, "learning_rate")
    assert step.value == multiplier / 2**exponent
    assert 0 < step.multiplier < 256
    assert 0 <= step.exponent <= 24


@given(st.floats(2.0**-24, 255, exclude_min=True))
def test_a_refusal_names_the_nearest_two(value):
    """Both can be had, the value lies strictly between them, and nothing that can be had does."""
    try:
        assert StepSize.of(value, "learning_rate").value == value
    except SettingsError as refusal:
        below, above = map(float, re.search(r"the nearest are (\S+) and (\S+)$", str(refusal)).groups())
        assert below < value < above
        assert StepSize.of(below, "").value == below
        if above < 256:
            assert StepSize.of(above, "").value == above
            with pytest.raises(SettingsError):
                StepSize.of((below + above) / 2, "")


@pytest.mark.parametrize(
    ("value", "below", "above"),
    [
        (0.9, 0.8984375, 0.90234375),
        (0.1, 0.099609375, 0.10009765625),
        (1.5 * 2.0**-24, 2.0**-24, 2.0**-23),
        (2.5 * 2.0**-24, 2 * 2.0**-24, 3 * 2.0**-24),
    ],
)
def test_hand_worked_refusals(value, below, above):
    with pytest.raises(SettingsError, match=re.escape(f"momentum = {value:g} cannot be had on shares")) as refused:
        StepSize.of(value, "momentum")
    assert str(refused.value).endswith(f"the nearest are {below!r} and {above!r}")


@pytest.mark.parametrize("value", [0.0, -0.5, 2.0**-25, 256.0, float("inf"), float("nan")])
def test_out_of_range(value):
    with pytest.raises(SettingsError, match=r"learning_rate = \S+ is no step on shares"):
        StepSize.of(value, "learning_rate")
