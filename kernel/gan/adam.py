"""Adam for the nets of a GAN: the formulas of Keras 3 (see kernel.optimizers), in TensorFlow's one fused pass an array.

m <- m + (1 - b1)*(g - m);  v <- v + (1 - b2)*(g*g - v)
w <- w - alpha*m / (sqrt(v) + epsilon),  alpha = lr*sqrt(1 - b2^t) / (1 - b1^t),  t = 1, 2, ...
"""

from collections.abc import Sequence
from typing import Any

from kernel.gan.spec import AdamSpec


def adam_step(
    tf: Any,
    adam: AdamSpec,
    weights: Sequence[Any],
    gradients: Sequence[Any],
    momentum: Sequence[Any],
    velocity: Sequence[Any],
    step: Any,
) -> None:
    """Moves ``weights`` by one step; within a compiled function or outside of one.

    Args:
      weights: variables; momentum, velocity: a variable of the same shape for each, zero before the first step.
      gradients: a tensor for each.
      step: int64 variable, shape (): steps taken so far; counts up.
    """
    # once all gradients are there nobody reads the weights any more: they are changed in place and not in a copy
    with tf.control_dependencies(list(gradients)):
        time = tf.cast(step.assign_add(1), tf.float32)
    powers = [tf.pow(tf.constant(beta, tf.float32), time) for beta in (adam.beta_1, adam.beta_2)]
    for weight, gradient, moment, squares in zip(weights, gradients, momentum, velocity, strict=True):
        tf.raw_ops.ResourceApplyAdam(
            var=weight.handle,
            m=moment.handle,
            v=squares.handle,
            beta1_power=powers[0],
            beta2_power=powers[1],
            lr=adam.learning_rate,
            beta1=adam.beta_1,
            beta2=adam.beta_2,
            epsilon=adam.epsilon,
            grad=gradient,
        )
