"""The losses of a GAN with a shared discriminator, per stacked model (Mukherjee et al. 2021, Eq. 4); TensorFlow is handed in.

A discriminator sees real rows and fakes in one batch and its loss is the mean over all of them, as in the original code.
"""

from typing import Any


def discriminator_losses(tf: Any, real: Any, fake: Any, real_label: float) -> Any:
    """Mean over real rows and fakes of BCE(real, real_label) and BCE(fake, 0): float32[models].

    Args:
      real, fake: logits, float32[models, batch, 1]; batches may differ.
    """
    each = [_cross_entropy(tf, real, real_label), _cross_entropy(tf, fake, 0.0)]
    return tf.reduce_mean(tf.concat(each, axis=1), axis=[1, 2])


def generator_losses(tf: Any, fake: Any) -> Any:
    """Mean of BCE(fake, 1), float32[models], of a discriminator's logits for the fakes, float32[models, batch, 1]."""
    return tf.reduce_mean(_cross_entropy(tf, fake, 1.0), axis=[1, 2])


def origin_losses(tf: Any, logits: Any, origins: Any) -> Any:
    """Mean of CE(softmax(logits), origins): float32[models].

    Args:
      logits: of the shared discriminator, float32[models, batch, parties].
      origins: places of parties, int32[models, batch]: the true ones, or for a generator to be told from by nobody wrong ones.
    """
    each = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=origins, logits=logits)
    return tf.reduce_mean(each, axis=1)


def _cross_entropy(tf: Any, logits: Any, target: float) -> Any:
    return tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.fill(tf.shape(logits), target), logits=logits)
