"""Who saw what in a run of this protocol: the rows of docs/threat_model.md that apply, for the report."""

import tomllib
from pathlib import Path

from coordinator.job_plan import GAN_JOBS
from coordinator.report.gan.disclosures import gan_disclosures

Disclosure = tuple[str, str, str]
"""(role, what it saw, why)"""

_ALWAYS: tuple[Disclosure, ...] = (
    (
        "neutral server",
        "z₁ = Σ XᵢΘᵢ of every mini-batch, h₁…h_L, ∂L/∂h_L",
        "by design: it runs the hidden layers; ∂L/∂h_L gives training labels away, z₁ something of the rows",
    ),
    ("neutral server", "one masked share of z₁ per party", "uniform words; only the sum of all is decoded"),
    ("label holder", "h_L and its own loss", "it runs the label head"),
    (
        "coordinator",
        "row counts, losses, scores, ROC points, bytes, and the order of mini-batches",
        "it plans rounds; no tensor of rows reaches it",
    ),
)
_GRADIENT = (
    "to update its own first-layer weights; it gives training labels away (docs/threat_model.md measures how well)"
)
_DEFENDED: tuple[Disclosure, ...] = (
    (
        "every party",
        "h₁ of every training row in every epoch",
        "its defender reads it; with its own XᵢΘᵢ it gives away the sum of the others' contributions as far as the "
        "activation can be inverted",
    ),
    (
        "neutral server",
        "Σᵢ ∂dᵢ/∂h₁ of every training row, the decoded sum of the defenders' gradients",
        "it trains the network against the defenders; every party's columns enter it, without the noise of z1_noise",
    ),
    (
        "neutral server",
        "one masked share of that sum per party",
        "uniform words; only the sum of all is decoded",
    ),
)
_BY_PROTOCOL: dict[str, tuple[Disclosure, ...]] = {
    "masked_sum": (),
    "beaver": (
        ("every party", "E = X − U once and F = Θ − V each step", "uniform without the dealer's U and V"),
        (
            "dealer (coordinator)",
            "the randomness of all triples",
            "it deals them; it sees no opening and no share of a result",
        ),
    ),
}


def disclosures_of(run_directory: Path) -> tuple[Disclosure, ...]:
    """The rows for the run's protocol, its frozen first layer, and its defender where the plan has one; of GANs, by mode of sharing."""
    plan = tomllib.loads((run_directory / "plan.toml").read_text(encoding="utf-8"))
    if plan.get("job") in GAN_JOBS:
        return gan_disclosures(plan.get("shared", {}).get("mode", "fakes") if plan["job"] == "privgan" else "none")
    protocol = plan.get("first_layer", {}).get("protocol", "masked_sum")
    defended = _DEFENDED if "defender" in plan else ()
    frozen = plan.get("protection", {}).get("freeze_first_layer_after")
    return _ALWAYS + _gradient(frozen) + _BY_PROTOCOL[protocol] + defended


def _gradient(frozen: int | None) -> tuple[Disclosure, ...]:
    """Parties are sent dL/dz1 for as long as first-layer weights move."""
    if frozen == 0:
        return ()
    told = "" if frozen is None else f" of the first {frozen} epochs" if frozen > 1 else " of the first epoch"
    return (("every party", f"∂L/∂z₁ of every mini-batch{told}", _GRADIENT),)
