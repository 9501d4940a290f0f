"""Normal noise that protects something: normals from a cryptographic stream (polar method, Marsaglia and Bray 1964).

Experiments draw from numpy's seeded generators; noise that a guarantee rests on comes from here. The key is drawn from
the operating system's generator, belongs to one object and never leaves it; no part of the stream is read twice.

    u, v uniform on (-1, 1), s = u^2 + v^2, again unless 0 < s < 1; then u sqrt(-2 ln s / s) and v sqrt(-2 ln s / s)

What is returned are float64 numbers, not reals: sums with them can in principle tell more than the real mechanism
(Mironov 2012). Whoever releases a sum rounds it to a coarser grid first, as fixed point does.
"""

import math

import numpy as np
from numpy.typing import NDArray

from kernel.randomness import Keystream, SecureRandomness, StreamPosition
from kernel.ring import RingArray

_PAIRS_AT_ONCE = 1 << 12  # the arrays below stay in cache
_ACCEPTED = math.pi / 4
_STEP = 2.0**-52


class GaussianNoise:
    """Independent normals of mean 0, as many as are asked for."""

    def __init__(self, randomness: SecureRandomness, deviation: float = 1.0) -> None:
        self._keystream, self._deviation = Keystream(randomness.key()), deviation
        self._pieces = 0

    def draw(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Normals, float64 of ``shape``, freshly allocated.

        Guarantees: no word of the stream enters two draws. Uniforms have 53 bits: the distribution is a normal's but for
        events of probability below 1e-15.
        """
        out = np.empty(math.prod(shape), np.float64)
        filled = 0
        while filled < len(out):
            # as many pairs as should do; a few more, so that one round mostly does
            wanted = int((len(out) - filled) / (2 * _ACCEPTED) * 1.02) + 16
            normals = self._normals(min(wanted, _PAIRS_AT_ONCE))
            taken = normals[: len(out) - filled]
            out[filled : filled + len(taken)] = taken
            filled += len(taken)
        out *= self._deviation
        return out.reshape(shape)

    def _normals(self, pairs: int) -> NDArray[np.float64]:
        """Both numbers of every accepted pair: first all firsts, then all seconds."""
        words: RingArray = np.empty((2, pairs), np.uint64)
        self._keystream.fill(words, self._next_position())
        words >>= np.uint64(11)
        points = words.astype(np.float64)
        points += 0.5 - 2.0**52  # centred: 0 is never met, and both signs are equally likely
        points *= _STEP
        squares = np.square(points[0])
        squares += np.square(points[1])
        inside = np.flatnonzero(squares < 1.0)
        points, squares = np.take(points, inside, axis=1), np.take(squares, inside)
        factors = np.log(squares)
        factors *= -2.0
        factors /= squares
        np.sqrt(factors, out=factors)
        points *= factors
        return points.reshape(-1)

    def _next_position(self) -> StreamPosition:
        position = StreamPosition(self._pieces >> 32, self._pieces & 0xFFFFFFFF, 0)
        self._pieces += 1
        return position
