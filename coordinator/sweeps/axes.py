"""The axes of benchmarks as they are written on the command line: rates of links, fractions of rows, a defender's weights."""

import math
from collections.abc import Callable
from typing import TypeVar

from kernel.errors import SettingsError

NO_LIMIT = "none"
MIN_RATE_MBPS, MAX_RATE_MBPS = 0.1, 10_000.0
"""Below, a keepalive waits behind one message for longer than it may; above, loopback itself is the limit."""

Value = TypeVar("Value")


def parse_rates(text: str) -> tuple[float | None, ...]:
    """Rates in Mbit/s, each once, in the order written; `none` is a link without a limit (None).

    Raises:
      SettingsError: no rate, one that is none, one that stands twice.
    """
    return _values(text, _rate, "rate", "10,100,none")


def parse_rate(text: str) -> float | None:
    """One rate.

    Raises:
      SettingsError: it is none.
    """
    return _rate(text.strip())


def parse_fractions(text: str) -> tuple[float, ...]:
    """Fractions of the rows, each above 0 and up to 1, in the order written.

    Raises:
      SettingsError: no fraction, one that is none, one that stands twice.
    """
    return _values(text, _fraction, "fraction", "0.1,0.5,1.0")


def parse_weights(text: str) -> tuple[float, ...]:
    """Weights λ of a defender, each 0 or more, in the order written.

    Raises:
      SettingsError: no weight, one that is none, one that stands twice.
    """
    return _values(text, _weight, "weight", "0,1e-3,1e-1")


def rate_name(rate_mbps: float | None) -> str:
    return NO_LIMIT if rate_mbps is None else f"{rate_mbps:g}"


def _values(text: str, parse: Callable[[str], Value], what: str, example: str) -> tuple[Value, ...]:
    words = [word.strip() for word in text.split(",")]
    if not any(words):
        raise SettingsError(f"the list of {what}s is empty; write it as {example}")
    values = [parse(word) for word in words]
    for word, value in zip(words, values, strict=True):
        if values.count(value) > 1:
            raise SettingsError(f"{what} {word} stands twice; each is measured once")
    return tuple(values)


def _rate(word: str) -> float | None:
    if word.lower() == NO_LIMIT:
        return None
    rate = _number(word)
    if rate is None or not MIN_RATE_MBPS <= rate <= MAX_RATE_MBPS:
        raise SettingsError(
            f"rate {word!r} cannot be measured; wanted {MIN_RATE_MBPS:g} to {MAX_RATE_MBPS:g} (Mbit/s), or `{NO_LIMIT}`"
        )
    return rate


def _fraction(word: str) -> float:
    fraction = _number(word)
    if fraction is None or not 0 < fraction <= 1:
        raise SettingsError(f"fraction {word!r} is no share of the rows; wanted a number above 0 and up to 1")
    return fraction


def _weight(word: str) -> float:
    weight = _number(word)
    if weight is None or weight < 0:
        raise SettingsError(f"weight {word!r} is no λ of a defender; wanted a number, 0 or more")
    return weight


def _number(word: str) -> float | None:
    try:
        number = float(word)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
