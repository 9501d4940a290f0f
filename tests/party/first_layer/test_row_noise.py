"""party.first_layer.row_noise: fresh while the first layer moves, one draw a row once it stays."""

import numpy as np
import pytest
from scipy.stats import chisquare, kstest

from kernel.errors import BadInputError
from kernel.fixed_point import FixedPoint
from kernel.gaussian_noise import GaussianNoise
from kernel.protection import ProtectionSpec
from kernel.randomness import SecureRandomness, StreamPosition
from party.first_layer.row_noise import RowNoise
from protos.v1 import common_pb2

ROWS, WIDTH, DEVIATION = 3000, 8, 0.5
FAILURE = 1e-6
TRAIN, EVALUATE = common_pb2.PURPOSE_TRAIN, common_pb2.PURPOSE_EVALUATE
ALL = np.arange(ROWS)


def noise_of(after=2):
    source = GaussianNoise(SecureRandomness(), DEVIATION)
    return RowNoise(source, ProtectionSpec(freeze_first_layer_after=after), ROWS, WIDTH)


def drawn(noise, epoch, rows=ALL, purpose=TRAIN, step=0):
    return noise.draw(StreamPosition(epoch, step, purpose), rows)


def uncorrelated(one, other):
    """|r| sqrt(n) < 5.2: fails in less than 1e-6 of runs with independent draws."""
    return abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) * np.sqrt(one.size) < 5.2


def test_noise_is_fresh_while_weights_move_and_stays_once_they_stay():
    noise = noise_of()
    first, second, third, fourth = (drawn(noise, epoch) for epoch in (1, 2, 3, 4))
    assert first.dtype == np.float64
    assert all(uncorrelated(one, other) for one, other in ((first, second), (first, third), (second, third)))
    assert np.array_equal(third, fourth)
    for one in (first, third):
        assert kstest(one.ravel() / DEVIATION, "norm").pvalue > FAILURE


@pytest.mark.parametrize("epoch", [1, 3])
def test_noise_reaches_the_last_bit_of_what_it_is_added_to(epoch):
    """`beaver` sends z1 to 2^-40. The last ten bits of noise there are uniform, drawn afresh or kept; a float32 draw has zeros there."""
    noise = drawn(noise_of(), epoch)

    def last_bits(values):
        return FixedPoint(64, 40).encode(values, "noise").ravel() & np.uint64(1023)

    assert chisquare(np.bincount(last_bits(noise).astype(np.int64), minlength=1024)).pvalue > FAILURE
    assert np.mean(last_bits(noise.astype(np.float32)) == 0) > 0.9


def test_a_row_has_its_noise_in_whatever_batch_it_comes():
    noise = noise_of(after=0)
    whole = drawn(noise, 1)
    order = np.random.default_rng(3).permutation(ROWS)
    pieces = [drawn(noise, 2, order[cut : cut + 700], step=cut) for cut in range(0, ROWS, 700)]
    assert np.array_equal(np.concatenate(pieces), whole[order])


def test_rows_that_are_not_trained_on_get_fresh_noise():
    noise = noise_of(after=0)
    kept, one, other = drawn(noise, 1), drawn(noise, 1, purpose=EVALUATE), drawn(noise, 2, purpose=EVALUATE)
    assert uncorrelated(one, other)
    assert uncorrelated(kept, one)


def test_what_stays_outlives_a_resume():
    noise, resumed = noise_of(), noise_of()
    assert noise.state() == {}
    kept = drawn(noise, 3)
    resumed.load(noise.state())
    assert np.array_equal(drawn(resumed, 4), kept)
    resumed.load({})
    assert uncorrelated(drawn(resumed, 4), kept)


def test_without_a_freeze_every_pass_is_fresh():
    noise = RowNoise(GaussianNoise(SecureRandomness(), DEVIATION), ProtectionSpec(), ROWS, WIDTH)
    assert uncorrelated(drawn(noise, 100), drawn(noise, 101))
    assert noise.state() == {}


def test_noise_of_another_table_is_refused():
    with pytest.raises(BadInputError, match=r"shape \[5, 8\], wanted \[3000, 8\]"):
        noise_of().load({"kept": np.zeros((5, WIDTH), np.float32)})
