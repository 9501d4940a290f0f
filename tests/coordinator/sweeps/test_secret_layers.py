"""The cost model against a protocol that runs: tiny networks on real shares, every word that is opened counted."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from coordinator.forecast import forecast
from coordinator.sweeps.secret_layers import (
    WORD_BYTES,
    corrected_words,
    opened_words,
    secret_links,
    secret_products,
    server_links,
    works_alone,
)
from kernel.errors import BadInputError
from protos.v1 import plan_pb2

MESSAGE_BYTES = 250
"""More than header, seal and frame of any one message."""
COEFFICIENTS = 3, 5, 7, 2
"""p(z) = 3 + 5 z + 7 z^2 + 2 z^3, in whole numbers: nothing is truncated."""


class SharedArithmetic:
    """Beaver's products for n parties in one process; counts what parties open and what a dealer corrects."""

    def __init__(self, parties, *, masked_once):
        self.randomness = np.random.default_rng(5)
        self.parties, self.masked_once = parties, masked_once
        self.opened = self.corrected = 0
        self.masks = {}

    def uniform(self, shape):
        return self.randomness.integers(0, 2**64, shape, np.uint64)

    def share(self, value):
        shares = [self.uniform(value.shape) for _ in range(self.parties - 1)]
        return [value - sum(shares, np.zeros_like(value)), *shares]

    def open(self, name, shares, *, free):
        """(shares of the mask, opened value); the opening counts unless this mask opened this name before."""
        if name in self.masks:
            return self.masks[name]
        mask = self.share(self.uniform(shares[0].shape))
        found = mask, sum(one - other for one, other in zip(shares, mask, strict=True))
        self.opened += 0 if free else shares[0].size
        if self.masked_once or free:
            self.masks[name] = found
        return found

    def product(self, left, right, multiply):
        """Each factor: (name, shares, whether to be seen transposed)."""
        opened = []
        for name, shares, turned in (left, right):
            mask, value = self.open(name, shares, free=name == "A0")
            opened.append(([one.T for one in mask], value.T) if turned else (mask, value))
        (u, e), (v, f) = opened
        c = self.share(multiply(sum(u), sum(v)))
        self.corrected += c[0].size
        out = [multiply(e, v_i) + multiply(u_i, f) + c_i for u_i, v_i, c_i in zip(u, v, c, strict=True)]
        out[0] = out[0] + multiply(e, f)
        return out


def matmul(left, right):
    return left @ right


def step_on_shares(arithmetic, x, thetas, above, *, alone):
    """Layers 1 ... i on shares; ``above`` is dL/dz_i (dL/dh_i without a server) as a function of z_i (h_i).

    Returns the weight gradients it reconstructs, first layer first.
    """
    c0, c1, c2, c3 = (np.uint64(c) for c in COEFFICIENTS)
    depth = len(thetas)
    a, t = [arithmetic.share(x)], [arithmetic.share(theta) for theta in thetas]
    z, slopes = [], []
    for layer in range(1, depth + 1):
        forward = arithmetic.product((f"A{layer - 1}", a[-1], False), (f"T{layer}", t[layer - 1], False), matmul)
        z.append(forward)
        if layer < depth or alone:
            square = arithmetic.product((f"Z{layer}", forward, False), (f"Z{layer}", forward, False), np.multiply)
            cube = arithmetic.product((f"Q{layer}", square, False), (f"Z{layer}", forward, False), np.multiply)
            out = [c1 * one + c2 * two + c3 * three for one, two, three in zip(forward, square, cube, strict=True)]
            out[0] = out[0] + c0
            slope = [2 * c2 * one + 3 * c3 * two for one, two in zip(forward, square, strict=True)]
            slope[0] = slope[0] + c1
            a.append(out)
            slopes.append(slope)
    gradients = []
    public = None if alone else above(sum(z[-1]))
    shared = arithmetic.share(above(sum(a[-1]))) if alone else None
    for layer in range(depth, 0, -1):
        if public is None:
            g = arithmetic.product((f"D{layer}", shared, False), (f"S{layer}", slopes[layer - 1], False), np.multiply)
            gradients.append(arithmetic.product((f"A{layer - 1}", a[layer - 1], True), (f"G{layer}", g, False), matmul))
            if layer > 1:
                shared = arithmetic.product((f"G{layer}", g, False), (f"T{layer}", t[layer - 1], True), matmul)
        else:
            gradients.append([one.T @ public for one in a[layer - 1]])
            shared = [public @ one.T for one in t[layer - 1]]
            public = None
    return [sum(shares) for shares in reversed(gradients)]


def step_in_the_clear(x, thetas, above, *, alone):
    c0, c1, c2, c3 = (np.uint64(c) for c in COEFFICIENTS)
    a, z = [x], []
    for theta in thetas:
        z.append(a[-1] @ theta)
        a.append(c0 + c1 * z[-1] + c2 * z[-1] ** 2 + c3 * z[-1] ** 3)
    gradients = []
    g = above(a[-1]) * (c1 + 2 * c2 * z[-1] + 3 * c3 * z[-1] ** 2) if alone else above(z[-1])
    for layer in range(len(thetas), 0, -1):
        gradients.append(a[layer - 1].T @ g)
        if layer > 1:
            below = z[layer - 2]
            g = (g @ thetas[layer - 1].T) * (c1 + 2 * c2 * below + 3 * c3 * below**2)
    return gradients[::-1]


@pytest.mark.parametrize("masked_once", [False, True])
@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize(
    ("widths", "secret_layers"), [((3,), 1), ((3, 2), 1), ((3, 2), 2), ((4, 3, 2), 2), ((4, 3, 2), 3)]
)
def test_a_step_on_shares_opens_the_words_of_the_model(widths, secret_layers, parties, masked_once):
    """The protocol's own gradients are right, so what it opened and corrected is what the layers take."""
    rows, columns = 6, 5
    generator = np.random.default_rng(1)
    sizes = [columns, *widths[:secret_layers]]
    x = generator.integers(0, 2**64, (rows, columns), np.uint64)
    thetas = [generator.integers(0, 2**64, shape, np.uint64) for shape in pairwise(sizes)]
    alone = works_alone(widths, secret_layers)
    arithmetic = SharedArithmetic(parties, masked_once=masked_once)

    found = step_on_shares(arithmetic, x, thetas, lambda top: top + np.uint64(9), alone=alone)

    for one, other in zip(
        found, step_in_the_clear(x, thetas, lambda top: top + np.uint64(9), alone=alone), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    products = secret_products(rows, columns, widths, secret_layers)
    assert opened_words(products, masked_once=masked_once) == arithmetic.opened
    assert corrected_words(products) == arithmetic.corrected


def plan(widths, parties=2, protocol=plan_pb2.FIRST_LAYER_PROTOCOL_BEAVER, ring=(64, 20)):
    return plan_pb2.RunPlan(
        micro_batches=1,
        name="p",
        protocol=protocol,
        ring=plan_pb2.RingPlan(ring_bits=ring[0], fractional_bits=ring[1]),
        network=plan_pb2.NetworkPlan(widths=widths),
        parties=[plan_pb2.PartyPlan(name=f"party-{n}", label="y" if n == 0 else "") for n in range(parties)],
        batch_rows=100,
        test_fraction=0.2,
    )


@pytest.mark.parametrize("parties", [2, 4])
@pytest.mark.parametrize("masked_once", [False, True])
def test_one_secret_layer_costs_what_beaver_sends(parties, masked_once):
    """By the forecast of beaver's own messages, which the bytes of real runs hold to account."""
    of, columns = plan([40, 16, 8], parties), [7] * parties
    expected = forecast(of, 100, columns).epoch_bytes
    found = server_links(of, 100, columns, 1) + secret_links(of, 100, columns, 1, masked_once=masked_once)
    assert found.keys() == expected.keys()
    for link, count in expected.items():
        assert 0 <= count - found[link] < MESSAGE_BYTES * (parties - 1), link


def test_what_stays_with_the_server_shrinks_to_the_border():
    """64-bit shares of z_i up, its gradient down in float32; h_L and its gradient at the label holder."""
    of = plan([40, 16, 8])
    for secret_layers, width in ((1, 40), (2, 16)):
        found = server_links(of, 100, [7, 7], secret_layers)
        assert 0 < found["party-1>neutral-server"] - 100 * width * 8 < MESSAGE_BYTES
        assert 0 < found["neutral-server>party-1"] - 100 * width * 4 < MESSAGE_BYTES
        assert 0 < found["party-0>neutral-server"] - found["party-1>neutral-server"] - 100 * 8 * 4 < MESSAGE_BYTES
    assert server_links(of, 100, [7, 7], 3) == Counter()


def test_without_a_server_h_goes_to_the_label_holder_alone():
    of = plan([4, 2], parties=3)
    links = secret_links(of, 100, [5, 5, 5], 2, masked_once=True)
    shares = 100 * 2 * WORD_BYTES
    openings = 2 * WORD_BYTES * opened_words(secret_products(100, 15, [4, 2], 2), masked_once=True)
    assert links["party-0>neutral-server"] == openings
    assert links["party-1>neutral-server"] == links["party-2>neutral-server"] == openings + shares
    assert links["neutral-server>party-0"] == openings + 2 * shares
    assert links["neutral-server>party-2"] == openings


def test_the_paper_shape_by_hand():
    """Distress, two secret layers, words: B = 2570; 555, 400, 16."""
    products = secret_products(2570, 555, [400, 16, 8], 2)
    b1, b2, t1, t2 = 2570 * 400, 2570 * 16, 555 * 400, 400 * 16
    by_hand = {
        (1, "forward"): (t1, b1),
        (1, "square"): (2 * b1, b1),
        (1, "cube"): (2 * b1, b1),
        (2, "forward"): (b1 + t2, b2),
        (2, "weight gradient"): (0, 0),
        (2, "input gradient"): (0, 0),
        (1, "activation gradient"): (2 * b1, b1),
        (1, "weight gradient"): (b1, t1),
    }
    assert {
        (one.layer, one.kind): (sum(value.words for value in one.opened), one.corrected_words) for one in products
    } == by_hand
    shapes = {(one.layer, one.kind): (one.shape, one.kernel_calls) for one in products}
    assert shapes[1, "forward"] == ((2570, 555, 400), 2)
    assert shapes[1, "weight gradient"] == ((555, 2570, 400), 2)
    assert shapes[2, "input gradient"] == ((2570, 16, 400), 1)  # the clear G_2 by a share of Theta_2
    assert shapes[1, "cube"] == ((2570, 400), 1)


@pytest.mark.parametrize("secret_layers", [0, 3, -1])
def test_layers_that_are_not_there_are_refused(secret_layers):
    with pytest.raises(BadInputError, match=f"{secret_layers} secret layers of a network with 2; name 1 to 2"):
        secret_products(10, 5, [4, 2], secret_layers)
