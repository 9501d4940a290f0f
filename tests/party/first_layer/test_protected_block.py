"""The first layer under protection: bounds on a party's weights, and noise that is part of the share."""

import numpy as np
import pytest

from kernel.errors import FixedPointError
from kernel.fixed_point import FixedPoint
from kernel.gaussian_noise import GaussianNoise
from kernel.masks import ZeroMask
from kernel.network import OptimizerSpec
from kernel.protection import ProtectionSpec
from kernel.randomness import SecretKey, SecureRandomness, StreamPosition
from party.first_layer.masked_sum import MaskedSum
from party.first_layer.norm_bounds import NormBounds
from party.first_layer.protocol import FirstLayerBlock
from party.first_layer.row_noise import RowNoise

ROWS, COLUMNS, WIDTH = 40, 6, 3


class FixedKey(SecureRandomness):
    def key(self):
        return SecretKey(bytes(range(32)))


def block_of(bounds=None, optimizer="adam"):
    generator = np.random.default_rng(4)
    rows = generator.standard_normal((ROWS, COLUMNS)).astype(np.float32)
    weights = generator.standard_normal((COLUMNS, WIDTH)).astype(np.float32)
    return FirstLayerBlock(rows, weights, OptimizerSpec(optimizer, 0.5), bounds)


def step(block, times=1):
    gradient = np.random.default_rng(9).standard_normal((ROWS, WIDTH)).astype(np.float32)
    for _ in range(times):
        block.gather(block.rows[:10], gradient[:10])
        block.gather(block.rows[10:], gradient[10:])
        block.update()


def copies(state):
    return {name: np.array(value) for name, value in state.items()}


def spectral(block):
    return np.linalg.norm(block.weights.astype(np.float64), 2)


def test_weights_keep_to_their_bound_from_the_start_and_after_each_step():
    free, bound = block_of(), block_of(NormBounds(1.0, 0.7))
    assert spectral(free) > 0.7 >= spectral(bound)
    for _ in range(5):
        step(free)
        step(bound)
        assert spectral(bound) <= 0.7 < spectral(free)


def test_a_loose_bound_changes_nothing():
    free, bound = block_of(), block_of(NormBounds(1.0, 1e6))
    step(free, 3)
    step(bound, 3)
    assert np.array_equal(free.weights, bound.weights)


def shared(noise, weights=1.0, ring=None):
    """What a party that is alone shares: without peers the zero-mask is zero. Three pieces of one step."""
    block = block_of()
    block.weights *= np.float32(weights)
    ring = ring or FixedPoint(32, 16)
    rows = None if noise is None else RowNoise(noise, ProtectionSpec(), ROWS, WIDTH)
    layer = MaskedSum(block, ring, ZeroMask("a", {}), rows)
    layer.open_pass(1, 1, [np.arange(ROWS)])
    layer.make_ahead()
    layer.open_step(block.rows, StreamPosition(1, 0, 1))
    pieces = [slice(0, 15), slice(15, 30), slice(30, ROWS)]
    return ring.decode(np.concatenate([layer.share(piece).copy() for piece in pieces])), block.rows @ block.weights


def test_noise_is_part_of_the_share_row_by_row():
    found, exact = shared(GaussianNoise(FixedKey(), 0.25))
    expected = GaussianNoise(FixedKey(), 0.25).draw((ROWS, WIDTH))
    assert np.abs(found - exact - expected).max() <= 2.0**-16
    bare, _ = shared(None)
    assert np.abs(bare - exact).max() <= 2.0**-17 + 1e-6


def test_noise_counts_when_the_ring_is_checked():
    """z1 alone fits 32 bits with f = 24 (room for 127); with noise of deviation 200 it does not, with high probability."""
    ring = FixedPoint(32, 24)
    shared(None, ring=ring)
    with pytest.raises(FixedPointError, match="z1 of this party's columns"):
        shared(GaussianNoise(FixedKey(), 200.0), ring=ring)
