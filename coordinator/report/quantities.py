"""How numbers are written for people: counts, bytes, seconds, scores, ratios. None is written as a dash."""

DASH = "–"
BYTE_UNITS = (("GB", 1e9), ("MB", 1e6), ("KB", 1e3))


def count(number: int | None) -> str:
    """227845 → "227,845"."""
    return DASH if number is None else f"{number:,}"


def payload(number: float | None) -> str:
    """Bytes with a decimal unit: 35840000 → "35.8 MB"."""
    if number is None:
        return DASH
    for unit, size in BYTE_UNITS:
        if number >= 0.9995 * size:
            return f"{three_digits(number / size)} {unit}"
    return f"{number:.0f} B"


def duration(seconds: float | None) -> str:
    """Seconds with the unit that reads best: 0.0583 → "58.3 ms", 93 → "1 min 33 s"."""
    if seconds is None:
        return DASH
    whole = round(seconds)
    if whole >= 3600:
        minutes = round(seconds / 60)
        return f"{minutes // 60} h {minutes % 60} min"
    if whole >= 60:
        return f"{whole // 60} min {whole % 60} s"
    if seconds >= 0.9995:
        return f"{three_digits(seconds)} s"
    return f"{three_digits(seconds * 1e3)} ms"


def score(value: float | None) -> str:
    """Four decimals below ten, four significant digits above."""
    if value is None:
        return DASH
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.4g}"


def interval(low: float | None, high: float | None) -> str:
    """Ends of an interval of scores: "0.9600 to 0.9720"."""
    return DASH if low is None or high is None else f"{score(low)} to {score(high)}"


def gap(value: float | None) -> str:
    """A signed difference of two scores; small ones keep their digits: -0.00004 → "-4.0e-05"."""
    if value is None:
        return DASH
    if value == 0:
        return "0"
    return f"{value:+.1e}" if abs(value) < 1e-3 else f"{value:+.4f}"


def ratio(value: float | None) -> str:
    """1.3 → "1.30 ×"."""
    return DASH if value is None else f"{three_digits(value)} ×"


def three_digits(number: float) -> str:
    """Without an exponent for what is large: 2110.4 → "2,110"."""
    return f"{number:.3g}" if abs(number) < 999.5 else f"{number:,.0f}"
