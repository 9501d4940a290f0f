"""A decoder: the small network that a learning attacker fits from what it saw to the rows. numpy only."""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernel.network import OptimizerSpec
from kernel.optimizers import Optimizer

Floats = NDArray[np.float32]

_WEIGHTS = 0xDEC0


@dataclass(frozen=True)
class DecoderRecipe:
    """How a decoder is fitted: ReLU layers, MSE, Adam.

    Attributes:
      widths: hidden layers.
      learning_rate: Adam's.
      epochs: at most.
      batch_rows: of a step, at most; an epoch has thirty steps where batches of eight rows allow.
      held_out: share of the leaked rows that stops the fit (the weights of the best epoch are kept); 0 for none.
      patience: epochs without a better held-out error before the fit stops.
    """

    widths: tuple[int, ...] = (256, 256)
    learning_rate: float = 1e-3
    epochs: int = 40
    batch_rows: int = 128
    held_out: float = 0.1
    patience: int = 8


class Decoder:
    """outputs = W_k relu(... relu(W_1 inputs + b_1) ...) + b_k, float32."""

    def __init__(self, layers: list[Floats]) -> None:
        self.layers = layers
        """Weights and biases in turn: W_1 [inputs, widths[0]], b_1, W_2, ..."""

    def __call__(self, inputs: Floats) -> Floats:
        """float32[n, outputs] of float32[n, inputs]."""
        return self.activations(inputs)[-1]

    def activations(self, inputs: Floats) -> list[Floats]:
        """The inputs and the outputs of every layer."""
        values = [inputs]
        pairs = list(zip(self.layers[::2], self.layers[1::2], strict=True))
        for number, (kernel, bias) in enumerate(pairs):
            value = values[-1] @ kernel
            value += bias
            if number + 1 < len(pairs):
                np.maximum(value, 0, out=value)
            values.append(value)
        return values

    def gradients(self, inputs: Floats, targets: Floats) -> list[Floats]:
        """Of the mean over rows and outputs of (output - target)^2, in the order of ``layers``."""
        values = self.activations(inputs)
        delta = (values[-1] - targets) * np.float32(2 / targets.size)
        gradients: list[Floats] = []
        for number in range(len(self.layers) // 2 - 1, -1, -1):
            gradients[:0] = [values[number].T @ delta, delta.sum(axis=0)]
            if number:
                delta = delta @ self.layers[2 * number].T
                delta *= values[number] > 0
        return gradients


def fit_decoder(inputs: Floats, targets: Floats, recipe: DecoderRecipe, seed: int) -> Decoder:
    """Fits a decoder on the leaked rows.

    With rows held out, the output layer starts at zero and the weights of the best epoch are kept, the zero map
    among them: on those rows the decoder is never worse than a constant zero.

    Args:
      inputs: float32[rows, inputs], at best standardised.
      targets: float32[rows, outputs].
      recipe: see there.
      seed: of initial weights, held-out rows and batches.
    """
    generator = np.random.default_rng([_WEIGHTS, seed])
    order = generator.permutation(len(inputs))
    held = max(1, round(recipe.held_out * len(inputs))) if recipe.held_out and len(inputs) >= 4 else 0
    test_inputs, test_targets = inputs[order[:held]], targets[order[:held]]
    inputs, targets = inputs[order[held:]], targets[order[held:]]
    decoder = Decoder(_initial_layers((inputs.shape[1], *recipe.widths, targets.shape[1]), held > 0, generator))
    best, best_error, best_epoch = [layer.copy() for layer in decoder.layers], np.inf, 0
    if held:
        best_error = float(np.mean((decoder(test_inputs) - test_targets) ** 2))
    steps = max(len(inputs) // recipe.batch_rows, min(30, len(inputs) // 8), 1)
    optimizer = Optimizer(OptimizerSpec("adam", recipe.learning_rate), [layer.shape for layer in decoder.layers])
    for epoch in range(1, recipe.epochs + 1):
        for rows in np.array_split(generator.permutation(len(inputs)), steps):
            optimizer.step(decoder.layers, decoder.gradients(inputs[rows], targets[rows]))
        if held:
            error = float(np.mean((decoder(test_inputs) - test_targets) ** 2))
            if error < best_error:
                best, best_error, best_epoch = [layer.copy() for layer in decoder.layers], error, epoch
            elif epoch - best_epoch >= recipe.patience:
                break
    return Decoder(best) if held else decoder


def _initial_layers(widths: tuple[int, ...], zero_outputs: bool, generator: np.random.Generator) -> list[Floats]:
    """Normal weights of variance 2 / inputs (He et al. 2015), biases zero."""
    layers: list[Floats] = []
    for number, (before, after) in enumerate(itertools.pairwise(widths)):
        kernel = generator.normal(0, np.sqrt(2 / before), (before, after)).astype(np.float32)
        if zero_outputs and number == len(widths) - 2:
            kernel[:] = 0
        layers += [kernel, np.zeros(after, np.float32)]
    return layers
