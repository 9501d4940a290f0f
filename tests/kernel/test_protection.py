"""kernel.protection: which mitigations make sense together, and when the first layer stands still."""

import math

import pytest

from kernel.protection import ProtectionSpec


@pytest.mark.parametrize(
    ("spec", "loss"),
    [
        (ProtectionSpec(), "binary"),
        (ProtectionSpec(row_norm=1.0, weight_norm=2.0), "regression"),
        (ProtectionSpec(z1_noise=0.5, row_norm=1.0, weight_norm=2.0), "multiclass"),
        (ProtectionSpec(freeze_first_layer_after=1), "binary"),
        (ProtectionSpec(freeze_first_layer_after=0), "binary"),
        (ProtectionSpec(freeze_first_layer_after=3, label_gradient="max_norm"), "multiclass"),
        (ProtectionSpec(label_gradient="marvell", marvell_power=0.1), "binary"),
    ],
)
def test_what_can_be_kept_to(spec, loss):
    assert spec.objection(loss, epochs=4) is None


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (ProtectionSpec(z1_noise=0.5), "z1_noise needs row_norm and weight_norm"),
        (ProtectionSpec(z1_noise=0.5, row_norm=1.0), "set both or neither"),
        (ProtectionSpec(weight_norm=1.0), "set both or neither"),
        (ProtectionSpec(z1_noise=-0.5, row_norm=1.0, weight_norm=1.0), "z1_noise is -0.5"),
        (ProtectionSpec(row_norm=math.nan, weight_norm=1.0), "row_norm is nan"),
        (ProtectionSpec(row_norm=1.0, weight_norm=math.inf), "weight_norm is inf"),
        (ProtectionSpec(freeze_first_layer_after=4), "4 of 4 epochs"),
        (ProtectionSpec(freeze_first_layer_after=-1), "-1 of 4 epochs"),
        (ProtectionSpec(label_gradient="marvell"), "marvell hides two classes, the loss is multiclass"),
    ],
)
def test_what_cannot(spec, sentence):
    assert sentence in str(spec.objection("multiclass", epochs=4))


def test_marvell_without_power_is_no_protection():
    assert "no noise" in str(ProtectionSpec(label_gradient="marvell", marvell_power=0.0).objection("binary", 4))


def test_the_first_layer_trains_up_to_the_freeze():
    frozen = ProtectionSpec(freeze_first_layer_after=2)
    assert [frozen.trains_first_layer(epoch) for epoch in (1, 2, 3, 4)] == [True, True, False, False]
    assert all(ProtectionSpec().trains_first_layer(epoch) for epoch in (1, 100))
    assert not ProtectionSpec(freeze_first_layer_after=0).trains_first_layer(1)


def test_epochs_with_a_first_layer_that_stays_are_one_release():
    """A resumed run trains epochs again: each that moves counts again."""
    epochs = [1, 2, 2, 3, 4, 5]
    assert ProtectionSpec().releases(epochs) == 6
    assert ProtectionSpec(freeze_first_layer_after=2).releases(epochs) == 4
    assert ProtectionSpec(freeze_first_layer_after=0).releases(epochs) == 1
    assert ProtectionSpec(freeze_first_layer_after=5).releases(epochs) == 6
    assert ProtectionSpec().releases([]) == 0


def test_how_long_what_a_row_adds_can_be():
    """R S of a party's own part; of four units below an interval of 8, each below 16 for sure: a length of 32."""
    assert ProtectionSpec(row_norm=3.0, weight_norm=2.0).reach(4) == 6.0
    assert ProtectionSpec(cut_interval=8.0).reach(4) == 32.0
    assert ProtectionSpec().reach(4) == math.inf
