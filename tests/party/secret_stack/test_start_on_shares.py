"""party.secret_stack.start: nobody knows shared weights at step 0, and batches from which a party could solve are refused."""

import numpy as np
import pytest

from kernel.errors import BadInputError
from kernel.fixed_point import FixedPoint
from kernel.secret.spec import SecretLayer, SecretSpec, StepSize
from party.secret_stack.start import check_batches, initial_shares

RING = FixedPoint(64, 18)
KEY = bytes(range(32))


def spec_of(weights):
    return SecretSpec(300, (SecretLayer(40, "square", 8.0),), 20, "shared", weights, 18, 6, StepSize(1, 3))


def shares_of(weights, parties=3):
    """Parties with 100 columns each, whose own blocks are 0.25, and one key, as in a local run."""
    block = np.full((100, 40), 0.25, np.float32)
    return [
        initial_shares(spec_of(weights), RING, block, 100 * place, secret=KEY, me=f"p{place}", seed=1, parties=parties)
        for place in range(parties)
    ]


def test_weights_of_ones_own_start_as_each_partys_block():
    shares = shares_of("own")
    assert np.array_equal(RING.decode(sum(one.weights[0] for one in shares)), np.full((300, 40), 0.25))
    assert not shares[1].weights[0][:100].any()
    assert not shares[1].weights[0][200:].any()


@pytest.mark.parametrize("number", [1, 2])
def test_shared_weights_start_as_a_sum_of_draws_with_the_variance_of_one(number):
    """Glorot: variance 2 / (inputs + outputs), within six standard errors of a uniform's variance, kurtosis below 3 for sums."""
    shares = shares_of("shared")
    draws = [RING.decode(one.weights[number - 1]) for one in shares]
    total = sum(draws)
    variance = 2 / sum(total.shape)
    assert abs(total.var() / variance - 1) < 6 * np.sqrt(2 / total.size)
    for one in draws:  # no party's draw is another's, and none tells the sum
        assert abs(np.corrcoef(one.ravel(), (total - one).ravel())[0, 1]) < 6 / np.sqrt(total.size)


def test_biases_start_at_zero():
    assert all(not one.biases[1].any() and set(one.biases) == {1} for one in shares_of("shared"))


@pytest.mark.parametrize(("sizes", "columns"), [([128, 14], [13, 14]), ([14], [14, 2]), ([64, 1], [3, 3])])
def test_a_batch_with_no_more_rows_than_a_party_has_columns_is_refused(sizes, columns):
    with pytest.raises(
        BadInputError, match=rf"a batch of {min(sizes)} rows at a party of {max(columns)} .* weights = \"shared\""
    ):
        check_batches(sizes, columns)


def test_one_row_more_is_accepted():
    check_batches([128, 15], [13, 14])
