"""A defended network in one memory: every weight of every role and all rows in one place, by automatic differentiation.

What the split run must equal, step for step. Loss of the network: L - weight * sum over parties of D_i; each party's net
lowers (adversarial) or raises (literal) its own D_i; all gradients are taken at the same weights, then all move.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kernel.defender_plan import DefenderSpec
from kernel.network import NetworkSpec, OptimizerSpec
from kernel.optimizers import Optimizer


class PlainMinimax:
    """Weights are float32 numpy arrays by name, read by the tests.

    Args:
      thetas: per party float32[columns, widths[0]]; stack, head: as the roles' states name them; nets: per party.
    """

    def __init__(
        self,
        network: NetworkSpec,
        spec: DefenderSpec,
        thetas: Sequence[np.ndarray],
        stack: Mapping[str, np.ndarray],
        head: Mapping[str, np.ndarray],
        nets: Sequence[Mapping[str, np.ndarray]],
    ) -> None:
        self.network, self.spec = network, spec
        self.weights = {f"theta_{party}": theta.copy() for party, theta in enumerate(thetas)}
        self.weights |= {name: value.copy() for name, value in _weights(stack).items()}
        self.weights |= {f"head_{name}": value.copy() for name, value in _weights(head).items()}
        self.nets = [{name: value.copy() for name, value in _weights(net).items()} for net in nets]
        self._optimizer = Optimizer(network.optimizer, [value.shape for value in self.weights.values()])
        adam = OptimizerSpec("adam", spec.learning_rate)
        self._net_optimizers = [Optimizer(adam, [value.shape for value in net.values()]) for net in self.nets]

    def step(self, rows: Sequence[np.ndarray], labels: np.ndarray) -> tuple[float, list[float]]:
        """One step on a batch, ``rows`` per party; returns L and every D_i before it."""
        import tensorflow as tf

        w = {name: tf.constant(value) for name, value in self.weights.items()}
        nets = [{name: tf.constant(value) for name, value in net.items()} for net in self.nets]
        blocks = [tf.constant(one) for one in rows]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([w, nets])
            z = tf.add_n([block @ w[f"theta_{party}"] for party, block in enumerate(blocks)]) + w["bias_0"]
            h1 = h = _activation(tf, self.network.activations[0], z)
            for layer, name in enumerate(self.network.activations[1:], 1):
                h = _activation(tf, name, h @ w[f"kernel_{layer}"] + w[f"bias_{layer}"])
            logits = (h @ w["head_kernel"] + w["head_bias"])[:, 0]
            loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(tf.constant(labels, tf.float32), logits))
            distances = [self._distance(tf, net, h1, block) for net, block in zip(nets, blocks, strict=True)]
            objective = loss - self.spec.weight * tf.add_n(distances)
        sign = -1.0 if self.spec.objective == "literal" else 1.0
        gradients = tape.gradient(objective, list(w.values()))
        own = [tape.gradient(d, list(net.values())) for d, net in zip(distances, nets, strict=True)]
        self._optimizer.step(list(self.weights.values()), [one.numpy() for one in gradients])
        for optimizer, net, found in zip(self._net_optimizers, self.nets, own, strict=True):
            optimizer.step(list(net.values()), [sign * one.numpy() for one in found])
        return float(loss), [float(one) for one in distances]

    def _distance(self, tf: Any, net: Mapping[str, Any], h1: Any, rows: Any) -> Any:
        a = h1
        for layer, name in enumerate([*self.spec.activations, "identity"]):
            a = _activation(tf, name, a @ net[f"kernel_{layer}"] + net[f"bias_{layer}"])
        return tf.reduce_mean(tf.square(a - rows) if self.spec.distance == "mse" else tf.abs(a - rows))


def _activation(tf: Any, name: str, z: Any) -> Any:
    functions = {"identity": tf.identity, "relu": tf.nn.relu, "sigmoid": tf.sigmoid, "tanh": tf.tanh}
    return functions[name](z)


def _weights(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in state.items() if name.startswith(("kernel", "bias"))}
