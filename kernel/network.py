"""What a split network is made of: the plan's numbers that every role computes with.

Layers are counted from the rows: ``widths[0]`` is the first layer (z1 = sum of X_i Theta_i, computed by the parties;
its bias and activation belong to the neutral server), ``widths[1:]`` are the hidden layers on the neutral server, and
the label head (``outputs`` wide, linear; the loss applies its own link) is at the label holder.
"""

from dataclasses import dataclass
from typing import Literal, get_args

ActivationName = Literal["identity", "sigmoid", "relu", "tanh"]
LossName = Literal["binary", "multiclass", "regression"]
OptimizerName = Literal["sgd", "momentum", "adam"]

ACTIVATIONS: tuple[ActivationName, ...] = get_args(ActivationName)
LOSSES: tuple[LossName, ...] = get_args(LossName)
OPTIMIZERS: tuple[OptimizerName, ...] = get_args(OptimizerName)


@dataclass(frozen=True)
class OptimizerSpec:
    """How weights move. Formulas are those of Keras 3 (SGD, SGD with momentum, Adam), so that a plain net can be equal."""

    name: OptimizerName
    learning_rate: float
    momentum: float = 0.9
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7


@dataclass(frozen=True)
class NetworkSpec:
    """The whole network; ``len(activations) == len(widths)``."""

    widths: tuple[int, ...]
    activations: tuple[ActivationName, ...]
    loss: LossName
    outputs: int
    optimizer: OptimizerSpec
    seed: int
