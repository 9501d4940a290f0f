"""The defended network without a wire, step for step against a plain min-max in one memory (plain_minimax.py).

Real first-layer blocks, stacks, label head, defenders, share rings and micro-batches; shares without masks, which the
neutral server's sum would cancel.
"""

import numpy as np
import pytest
from plain_minimax import PlainMinimax

from kernel.batch_order import micro_batches
from kernel.defender_plan import DefenderSpec, defender_ring
from kernel.initialisation import glorot_rows
from kernel.network import NetworkSpec, OptimizerSpec
from neutral_server.defence import Defence
from neutral_server.hidden_stack import HiddenStack
from neutral_server.small_stack import SmallStack
from party.defender import Defender, initial_defender
from party.first_layer.protocol import FirstLayerBlock
from party.label_head import LabelHead

N, BATCH, STEPS, SCALE_BITS = 48, 16, 6, 32
BLOCKS = (["age", "income"], ["height", "weight", "steps"])


def network(widths, activations, optimizer):
    return NetworkSpec(widths, activations, "binary", 1, optimizer, 21)


class SplitMinimax:
    """What the roles do in a training step, one after the other."""

    def __init__(self, spec, defender, make_stack):
        generator = np.random.default_rng(2)
        self.rows = [generator.normal(size=(N, len(block))).astype(np.float32) for block in BLOCKS]
        self.labels = (self.rows[0][:, 0] + self.rows[1][:, 1] > 0).astype(np.float32)
        columns = sum(len(block) for block in BLOCKS)
        self.blocks = [
            FirstLayerBlock(rows, glorot_rows(b"key", spec.seed, names, columns, spec.widths[0]), spec.optimizer)
            for names, rows in zip(BLOCKS, self.rows, strict=True)
        ]
        self.stack, self.head = make_stack(spec), LabelHead(spec)
        self.defenders = [
            Defender(defender, initial_defender(defender, b"key", spec.seed, name, spec.widths[0], len(block)))
            for name, block in zip(("a", "b"), BLOCKS, strict=True)
        ]
        self.ring = defender_ring(defender.objective, len(BLOCKS))
        self.defence = Defence(defender.weight, self.ring)

    def plain(self, spec, defender):
        thetas = [block.weights for block in self.blocks]
        nets = [one.state() for one in self.defenders]
        return PlainMinimax(spec, defender, thetas, self.stack.state(), self.head.state(), nets)

    def step(self, cut, pieces):
        loss = 0.0
        cuts = micro_batches(len(cut), pieces)
        for number, piece in enumerate(cuts):
            rows = cut[piece]
            z1 = sum(block.rows[rows].astype(np.float64) @ block.weights for block in self.blocks)
            words = np.rint(z1 * 2.0**SCALE_BITS).astype(np.int64).view(np.uint64)
            h_last = self.stack.forward(words, SCALE_BITS, 64, piece=number)
            h1 = self.stack.first_activation(piece=number)
            mean, dh = self.head.loss_and_gradient(h_last, self.labels[rows], len(cut))
            shares = [
                self.ring.encode(one.distance_and_gradient(h1, block.rows[rows])[1], "pull")
                for one, block in zip(self.defenders, self.blocks, strict=True)
            ]
            pull = self.defence.h1_gradient(sum(shares[1:], shares[0]), len(cut))
            dz1 = self.stack.backward(dh, piece=number, last=number == len(cuts) - 1, h1_gradient=pull)
            for block in self.blocks:
                block.gather(block.rows[rows], dz1)
            loss += mean * len(rows) / len(cut)
        for one in (self.head, *self.defenders):
            one.apply()
        for block in self.blocks:
            block.update()
        return loss

    def check(self, plain, tolerance):
        state, head = self.stack.state(), self.head.state()
        for name, value in plain.weights.items():
            kind, _, rest = name.partition("_")
            found = self.blocks[int(rest)].weights if kind == "theta" else head[rest] if kind == "head" else state[name]
            np.testing.assert_allclose(found, value, atol=tolerance, rtol=tolerance, err_msg=name)
        for one, net in zip(self.defenders, plain.nets, strict=True):
            for name, value in net.items():
                np.testing.assert_allclose(one.state()[name], value, atol=tolerance, rtol=tolerance, err_msg=name)


ADAM, SGD = OptimizerSpec("adam", 0.01), OptimizerSpec("sgd", 0.2)
CASES = {
    "adversarial": (SmallStack, (7, 4), ("tanh", "sigmoid"), SGD, "adversarial", "mse", 1, 2.0),
    "TensorFlow stack": (HiddenStack, (7, 5, 4), ("sigmoid", "tanh", "tanh"), SGD, "adversarial", "mse", 1, 2.0),
    "TensorFlow stack in pieces": (HiddenStack, (7, 4), ("sigmoid", "tanh"), SGD, "adversarial", "mse", 3, 2.0),
    "pieces": (SmallStack, (7, 4), ("tanh", "sigmoid"), SGD, "adversarial", "mse", 3, 2.0),
    "mae": (SmallStack, (7, 4), ("tanh", "tanh"), SGD, "adversarial", "mae", 1, 2.0),
    "one layer": (SmallStack, (7,), ("tanh",), SGD, "adversarial", "mse", 2, 2.0),
    "one layer in TensorFlow": (HiddenStack, (7,), ("tanh",), SGD, "adversarial", "mse", 2, 2.0),
    "literal": (SmallStack, (7, 4), ("tanh", "tanh"), SGD, "literal", "mse", 1, 2.0),
    "a small weight": (SmallStack, (7, 4), ("tanh", "sigmoid"), SGD, "adversarial", "mse", 1, 1e-5),
}


@pytest.mark.parametrize("case", CASES)
def test_the_split_network_moves_as_the_plain_one(case):
    make_stack, widths, activations, optimizer, objective, distance, pieces, weight = CASES[case]
    spec = network(widths, activations, optimizer)
    defender = DefenderSpec(weight, objective, distance, (6,), ("tanh",), 0.01)
    split = SplitMinimax(spec, defender, make_stack)
    plain, without = (
        split.plain(spec, defender),
        split.plain(spec, DefenderSpec(0.0, objective, distance, (6,), ("tanh",), 0.01)),
    )
    for step in range(STEPS):
        cut = np.random.default_rng(step).permutation(N)[:BATCH]
        batch = [rows[cut] for rows in split.rows]
        wanted, _ = plain.step(batch, split.labels[cut])
        without.step(batch, split.labels[cut])
        assert split.step(cut, pieces) == pytest.approx(wanted, rel=1e-5)
        split.check(plain, 2e-5)
    # and the defender did something: without its weight the first layer is elsewhere, further than the tolerance
    moved = max(float(np.abs(plain.weights[n] - without.weights[n]).max()) for n in ("theta_0", "theta_1"))
    assert moved > (2e-7 if weight == 1e-5 else 5e-3)
