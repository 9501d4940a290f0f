"""The nets of a GAN: shapes, where they start, and what they compute (Mukherjee et al. 2021; layers as in their code).

Dense:         generator latent -> hidden layers -> columns, discriminator columns -> hidden layers -> logits
Convolutional: generator latent -> dense to (height/4, width/4, c0) -> transposed 5x5, stride 2, to c1 -> the same to 1;
               discriminator 5x5, stride 2, to c0 -> the same to c1 -> dense to logits; padding "same"

LeakyReLU with slope 0.2 after every layer but the last; the generator's last is tanh, a discriminator's stays linear (the
losses take logits). No dropout, no batch norm. A discriminator has one output, the shared one has one for each party.

Models of several classes are stacked: every array that is trained has a leading axis "models", and model i of the output is
a function of model i of the input alone. Where there is one model its axis is dropped within. TensorFlow is handed in by who
may import it.
"""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import SettingsError
from kernel.gan.spec import ImageShape, NetSpec
from kernel.processor import has

LEAKY_SLOPE = 0.2
FIRST_DENSE_DEVIATION = 0.02
_KERNEL = 5
_STRIDE = 2
_COARSER = _STRIDE**2
"""A map after two layers is so many times coarser, each way."""

_WIDE = 1 << 18
"""Weights between a net's hidden layers, from which on XLA can pay."""

Shapes = dict[str, tuple[int, ...]]


def generator_shapes(net: NetSpec, latent: int, columns: int, image: ImageShape | None) -> Shapes:
    """Of one model, in the order of the layers: ``kernel_k``, ``bias_k``.

    Raises:
      SettingsError: a convolutional net whose rows are no image, or one whose sides are no multiples of four.
    """
    if net.kind == "dense":
        return _dense_shapes([latent, *net.widths, columns])
    height, width = _coarse_map(columns, image)
    coarse, fine = net.widths
    return {
        "kernel_0": (latent, height * width * coarse),
        "bias_0": (height * width * coarse,),
        "kernel_1": (_KERNEL, _KERNEL, fine, coarse),  # transposed: outputs stand before inputs
        "bias_1": (fine,),
        "kernel_2": (_KERNEL, _KERNEL, 1, fine),
        "bias_2": (1,),
    }


def discriminator_shapes(net: NetSpec, columns: int, image: ImageShape | None, outputs: int) -> Shapes:
    """Of one model, in the order of the layers; ``outputs``: 1, or for the shared discriminator one for each party.

    Raises:
      SettingsError: as ``generator_shapes``.
    """
    if net.kind == "dense":
        return _dense_shapes([columns, *net.widths, outputs])
    height, width = _coarse_map(columns, image)
    fine, coarse = net.widths
    return {
        "kernel_0": (_KERNEL, _KERNEL, 1, fine),
        "bias_0": (fine,),
        "kernel_1": (_KERNEL, _KERNEL, fine, coarse),
        "bias_1": (coarse,),
        "kernel_2": (height * width * coarse, outputs),
        "bias_2": (outputs,),
    }


def initial_weights(shapes: Mapping[str, tuple[int, ...]], generator: np.random.Generator) -> dict[str, NDArray[Any]]:
    """One model's float32 arrays: the first dense kernel N(0, 0.02), other kernels Glorot-uniform, biases zero."""
    first_dense = next((name for name, shape in shapes.items() if len(shape) == 2), None)
    weights: dict[str, NDArray[Any]] = {}
    for name, shape in shapes.items():
        if name == first_dense:
            value = FIRST_DENSE_DEVIATION * generator.standard_normal(shape, np.float32)
        elif len(shape) > 1:
            receptive = math.prod(shape[:-2])
            limit = math.sqrt(6.0 / (receptive * (shape[-2] + shape[-1])))
            value = generator.uniform(-limit, limit, shape).astype(np.float32)
        else:
            value = np.zeros(shape, np.float32)
        weights[name] = value
    return weights


def generate(tf: Any, net: NetSpec, weights: Mapping[str, Any], latent: Any, image: ImageShape | None) -> Any:
    """Fakes of every model.

    Args:
      weights: tensors or variables by the names of ``generator_shapes``, each with a leading models axis.
      latent: float32[models, batch, latent].

    Returns:
      float32[models, batch, columns] in [-1, 1].
    """
    if net.kind == "dense":
        return _for_models(tf, weights, latent, lambda one, a: tf.tanh(_dense(tf, one, a)))

    def one_model(one: Mapping[str, Any], a: Any) -> Any:
        if image is None:
            raise _no_image()
        maps = _leaky(tf, _layer(tf, one, 0, a))
        maps = tf.reshape(maps, [-1, image.height // _COARSER, image.width // _COARSER, net.widths[0]])
        maps = _leaky(tf, _transposed(tf, one, 1, maps, image.height // _STRIDE, image.width // _STRIDE))
        maps = _transposed(tf, one, 2, maps, image.height, image.width)
        return tf.tanh(tf.reshape(maps, [-1, image.height * image.width]))

    return _model_by_model(tf, weights, latent, one_model)


def discriminate(tf: Any, net: NetSpec, weights: Mapping[str, Any], rows: Any, image: ImageShape | None) -> Any:
    """Logits of every model.

    Args:
      weights: tensors or variables by the names of ``discriminator_shapes``, each with a leading models axis.
      rows: float32[models, batch, columns] in [-1, 1].

    Returns:
      float32[models, batch, outputs].
    """
    if net.kind == "dense":
        return _for_models(tf, weights, rows, lambda one, a: _dense(tf, one, a))

    def one_model(one: Mapping[str, Any], a: Any) -> Any:
        if image is None:
            raise _no_image()
        maps = tf.reshape(a, [-1, image.height, image.width, 1])
        for layer in range(len(net.widths)):
            z = tf.nn.conv2d(maps, one[f"kernel_{layer}"], strides=_STRIDE, padding="SAME")
            maps = _leaky(tf, tf.nn.bias_add(z, one[f"bias_{layer}"]))
        flat = tf.reshape(maps, [-1, image.height * image.width * net.widths[-1] // _COARSER**2])
        return _layer(tf, one, len(net.widths), flat)

    return _model_by_model(tf, weights, rows, one_model)


def compiled(tf: Any, net: NetSpec, body: Any) -> Any:
    """``body`` as a compiled function, by XLA where that pays: with wide dense nets on processors without AVX-512 VNNI.

    Measured on two cores without AVX-512, one thread, CPU time of a step (batch 256): the paper's nets 182 ms against 283,
    half their widths 84 against 93, a quarter and narrower alike, while compiling takes 3 s against 0.5; convolutional nets
    alike, and their discriminator alone 0.96 s against 0.66. With VNNI, where TensorFlow computes products by oneDNN
    unless told otherwise, the paper's nets 70 ms against 65.
    """
    weights = sum(inputs * outputs for inputs, outputs in pairwise(net.widths))
    pays = net.kind == "dense" and weights >= _WIDE and not has("avx512vnni")
    return tf.function(body, autograph=False, jit_compile=pays)


def flatten(weights: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """All weights as float32[models, parameters], in the order of the mapping (that of the shapes)."""
    return np.concatenate([np.asarray(value, np.float32).reshape(len(value), -1) for value in weights.values()], axis=1)


def unflatten(flat: NDArray[Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
    """The other way: views of ``flat``, each float32[models, …].

    Raises:
      SettingsError: another number of parameters than the shapes have.
    """
    if flat.ndim != 2 or flat.shape[1] != parameters(shapes):
        raise SettingsError(
            f"weights came as {list(flat.shape)}, wanted [models, {parameters(shapes)}]; check that all roles run the same plan"
        )
    weights: dict[str, NDArray[np.float32]] = {}
    start = 0
    for name, shape in shapes.items():
        size = math.prod(shape)
        weights[name] = np.asarray(flat[:, start : start + size], np.float32).reshape(len(flat), *shape)
        start += size
    return weights


def parameters(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Of one model."""
    return sum(math.prod(shape) for shape in shapes.values())


def _dense_shapes(sizes: list[int]) -> Shapes:
    shapes: Shapes = {}
    for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
        shapes |= {f"kernel_{layer}": (inputs, outputs), f"bias_{layer}": (outputs,)}
    return shapes


def _coarse_map(columns: int, image: ImageShape | None) -> tuple[int, int]:
    if image is None:
        raise _no_image()
    if image.height * image.width != columns or image.height % _COARSER or image.width % _COARSER:
        raise SettingsError(
            f"convolutional nets need images whose sides are multiples of {_COARSER}; the rows are {columns} columns of "
            f'{image.height} x {image.width} pixels: use nets.kind = "dense"'
        )
    return image.height // _COARSER, image.width // _COARSER


def _no_image() -> SettingsError:
    return SettingsError(
        'convolutional nets need rows that are images, and these are not: use nets.kind = "dense", or name the pixels\' '
        "columns in reading order"
    )


def _for_models(tf: Any, weights: Mapping[str, Any], inputs: Any, net: Any) -> Any:
    """``net`` on stacked arrays, or on those of the one model without their first axis."""
    if _models(weights) > 1:
        return net(weights, inputs)
    return _model_by_model(tf, weights, inputs, net)


def _model_by_model(tf: Any, weights: Mapping[str, Any], inputs: Any, net: Any) -> Any:
    models = _models(weights)
    if models == 1:  # squeezed, not sliced: nothing is copied
        return tf.expand_dims(net({name: tf.squeeze(value, 0) for name, value in weights.items()}, inputs[0]), 0)
    return tf.stack([net({name: value[i] for name, value in weights.items()}, inputs[i]) for i in range(models)])


def _models(weights: Mapping[str, Any]) -> int:
    return int(next(iter(weights.values())).shape[0])


def _dense(tf: Any, weights: Mapping[str, Any], a: Any) -> Any:
    layers = len(weights) // 2
    for layer in range(layers):
        a = _layer(tf, weights, layer, a)
        a = _leaky(tf, a) if layer + 1 < layers else a
    return a


def _layer(tf: Any, weights: Mapping[str, Any], layer: int, a: Any) -> Any:
    z, bias = tf.matmul(a, weights[f"kernel_{layer}"]), weights[f"bias_{layer}"]
    return tf.nn.bias_add(z, bias) if len(bias.shape) == 1 else z + tf.expand_dims(bias, 1)


def _transposed(tf: Any, weights: Mapping[str, Any], layer: int, maps: Any, height: int, width: int) -> Any:
    kernel = weights[f"kernel_{layer}"]
    size = [tf.shape(maps)[0], height, width, kernel.shape[2]]
    z = tf.nn.conv2d_transpose(maps, kernel, size, strides=_STRIDE, padding="SAME")
    return tf.nn.bias_add(z, weights[f"bias_{layer}"])


def _leaky(tf: Any, z: Any) -> Any:
    return tf.nn.leaky_relu(z, LEAKY_SLOPE)
