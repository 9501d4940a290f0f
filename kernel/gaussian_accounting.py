"""What Gaussian noise gives: (epsilon, delta) of one release or of many, exactly.

A release of sensitivity D with noise of standard deviation s is mu-Gaussian differentially private with mu = D / s. Its
curve is exact (Balle and Wang 2018, theorem 8):

    delta(epsilon) = Phi(mu/2 - epsilon/mu) - e^epsilon Phi(-mu/2 - epsilon/mu)

and k releases, each free to depend on those before, are mu sqrt(k)-Gaussian differentially private (Dong, Roth and Su
2019, corollary 2). Nothing is searched or discretised but epsilon itself, to 1e-9 of its size and never below the truth.
"""

import math
from dataclasses import dataclass

from kernel.errors import BadInputError

_LOG_ROOT_TAU = 0.5 * math.log(2.0 * math.pi)
_FAR = -30.0


@dataclass(frozen=True)
class LocalPrivacy:
    """What one party's own noise guarantees for one of its rows against whoever sees z1.

    Attributes:
      relation: what may differ between the two tables that cannot be told apart.
      noise: standard deviation that the party adds to each unit; releases: how often the row is sent.
    """

    epsilon: float
    delta: float
    relation: str
    noise: float
    releases: int


def local_privacy(noise: float, reach: float, releases: int, delta: float = 1e-5) -> LocalPrivacy:
    """The guarantee of one party's noise on z for a row that is sent ``releases`` times.

    What a row adds to z is no longer than ``reach`` (`ProtectionSpec.reach`): a party's x Theta_1 with |x| <= R and a spectral norm of
    at most S has R S, and z that was proved on shares what was proved. Replacing the row moves it by at most twice that. Noise of
    the other parties is not counted, so the guarantee does not rest on them.

    The weights are taken as given: they were trained with the row, and that the *weights* (and so every later z, and
    the gradients) depend on it is not covered. For rows that are not trained on, the statement is whole.

    Raises:
      BadInputError: a number that is not finite and above 0, no release, or a delta outside (0, 1).
    """
    for name, value in (("z1_noise", noise), ("the bound on z", reach)):
        if not (math.isfinite(value) and value > 0):
            raise BadInputError(f"{name} is {value}; a guarantee needs a finite number above 0")
    if releases < 1:
        raise BadInputError(f"{releases} releases were to be accounted for; a row is sent at least once")
    mu = 2.0 * reach / noise * math.sqrt(releases)
    return LocalPrivacy(gaussian_epsilon(mu, delta), delta, "replace one row", noise, releases)


def gaussian_epsilon(mu: float, delta: float) -> float:
    """The smallest epsilon at which mu-Gaussian differential privacy is (epsilon, delta), rounded up.

    Raises:
      BadInputError: mu not finite or below 0, or a delta outside (0, 1).
    """
    if not (math.isfinite(mu) and mu >= 0 and 0 < delta < 1):
        raise BadInputError(f"mu is {mu} and delta {delta}; mu must be finite and not negative, delta between 0 and 1")
    if mu == 0 or gaussian_delta(mu, 0.0) <= delta:
        return 0.0
    low, high = 0.0, 1.0
    while gaussian_delta(mu, high) > delta:
        low, high = high, 2.0 * high
    while high - low > 1e-9 * high:
        middle = 0.5 * (low + high)
        if gaussian_delta(mu, middle) > delta:
            low = middle
        else:
            high = middle
    return high


def gaussian_delta(mu: float, epsilon: float) -> float:
    """delta of mu-Gaussian differential privacy at ``epsilon`` >= 0; mu above 0."""
    first = _log_normal_cdf(0.5 * mu - epsilon / mu)
    second = epsilon + _log_normal_cdf(-0.5 * mu - epsilon / mu)
    return math.exp(first) * -math.expm1(min(0.0, second - first))


def _log_normal_cdf(x: float) -> float:
    """ln Phi(x); below -30 by five terms of the asymptotic series, whose error there is below 1e-15."""
    if x > _FAR:
        return math.log(0.5 * math.erfc(-x / math.sqrt(2.0)))
    y = 1.0 / (x * x)
    series = y * (-1.0 + y * (3.0 + y * (-15.0 + y * (105.0 - 945.0 * y))))
    return -0.5 * x * x - math.log(-x) - _LOG_ROOT_TAU + math.log1p(series)
