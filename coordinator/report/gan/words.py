"""What sources, discriminators and nets of a GAN run are called on its page."""

_SOURCES = {"all": "synthetic rows of all parties", "real": "real training rows (the ceiling)"}
_BY = {
    "own": "its own discriminator",
    "max": "highest of all parties' discriminators",
    "mean": "mean of all parties' discriminators",
    "shared_max": "shared discriminator, surest origin",
    "shared_own": "shared discriminator, the owner's origin",
    "overfitted": "positive control: a discriminator trained by heart",
    "noise": "negative control: scores that are drawn",
}
CONTROLS = ("overfitted", "noise")
"""Of these the first must find members and the last must not."""
_POLICIES = {
    "equal_steps": "every party takes the same number of steps",
    "proportional": "every party takes the steps that its own rows need",
    "paper": "floor(rows ÷ parties ÷ batch) steps, as the original",
}


def source_words(source: str) -> str:
    """What a classifier was trained on."""
    return _SOURCES.get(source, f"synthetic rows of {source}")


def by_words(by: str) -> str:
    """Whose scores a membership attack goes by."""
    return _BY.get(by, by)


def policy_words(policy: str) -> str:
    return _POLICIES.get(policy, policy)
