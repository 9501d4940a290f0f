"""Who saw what in a GAN run, in the words of the report: rows (role, what it saw, why) by mode of sharing."""

from collections.abc import Mapping

Disclosure = tuple[str, str, str]

_ALWAYS: tuple[Disclosure, ...] = (
    (
        "nobody",
        "a real row, a party's generator or its discriminator",
        "they stay at the party; its barriers and state directory hold its generators and discriminators",
    ),
    (
        "coordinator",
        "synthetic rows: previews, what classifiers learn from, what an operator samples",
        "by design: they are the run's result; they carry no noise, and a generator that has learnt a row by heart gives it away",
    ),
    (
        "coordinator",
        "rows of each class at every party, mean losses, accuracies and membership attacks on real rows, histograms of scores, bytes",
        "it plans rounds and keeps the report; computed from real rows, without noise",
    ),
    (
        "every party",
        "synthetic rows of the others, where a classifier is tried at it",
        "accuracy is measured where held-out rows are; it answers with an accuracy only",
    ),
    (
        "every party",
        "the plan, the seed of latent noise, and each party's steps in an epoch",
        "all take their steps together",
    ),
)
_BY_MODE: Mapping[str, tuple[Disclosure, ...]] = {
    "fakes": (
        (
            "neutral server",
            "every fake of every exchanged step, with the party that made it",
            "by design: it trains the shared discriminator on them; of all roles it sees the most of what generators have learnt",
        ),
        (
            "neutral server",
            "no real row, no label, no latent noise",
            "models are apart by class, though, and a picture shows its class",
        ),
        (
            "every party",
            "the gradient of the origin loss at its own fakes",
            "its generators are paid by it; it comes from a net that saw the others' fakes, and no row of theirs",
        ),
    ),
    "updates": (
        (
            "neutral server",
            "the sum over parties of the gradients of the shared discriminator's weights",
            "by design: it moves the weights by it; no fake and no single party's gradient reaches it",
        ),
        ("neutral server", "one masked share of that sum per party", "uniform words; only the sum of all is decoded"),
        (
            "every party",
            "the weights of the shared discriminator, so their moves",
            "it holds a copy; with two parties each can subtract its own gradient and has the other's, which tells much of the other's fakes",
        ),
    ),
    "none": (("neutral server", "nothing of rows or nets", "job gan shares nothing: every party trains by itself"),),
}


def gan_disclosures(mode: str) -> tuple[Disclosure, ...]:
    """For ``mode`` fakes, updates or none."""
    return _BY_MODE[mode] + _ALWAYS
