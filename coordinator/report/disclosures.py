"""Who saw what in a run of this protocol: the rows of docs/threat_model.md that apply, for the report."""

import tomllib
from pathlib import Path

from coordinator.job_plan import GAN_JOBS
from coordinator.report.gan.disclosures import gan_disclosures
from coordinator.report.privacy.words import at_cut
from coordinator.secret_section import forms_on_shares

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
_SERVERLESS: tuple[Disclosure, ...] = (
    (
        "label holder",
        "the network's outputs on rows it is evaluated on and predicts for",
        "the other parties send it their shares; of training rows nobody sees an output, a loss or a gradient at the head",
    ),
    (
        "coordinator",
        "row counts, scores, ROC points, bytes, and the order of mini-batches",
        "it plans rounds; no tensor of rows reaches it",
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
    first = plan.get("first_layer", {})
    protocol, layers = first.get("protocol", "masked_sum"), len(plan.get("secret_layers", []))
    gradient, weights = forms_on_shares(plan)
    protection = plan.get("protection", {})
    defended = _DEFENDED if "defender" in plan else ()
    if not plan.get("network", {}).get("widths", [0]):
        return _SERVERLESS + _on_shares(weights, "coordinator", proved=True)
    if gradient == "shared" or weights == "shared" or layers:
        return tuple(
            _at_cut(row, layers + 1) for row in _ALWAYS + _gradient_on_shares(gradient) + defended
        ) + _on_shares(weights, "neutral server", proved=layers > 0 or "cut_interval" in protection)
    return _ALWAYS + _gradient(protection.get("freeze_first_layer_after")) + _BY_PROTOCOL[protocol] + defended


def _at_cut(row: Disclosure, cut: int) -> Disclosure:
    if cut == 1:
        return row
    role, what, why = (
        at_cut(text.replace(" = Σ XᵢΘᵢ", ", the output of the first layer it sees,"), cut) for text in row
    )
    why = why.replace("its own first-layer weights", "the weights up to the cut")
    return role, what, why


def _gradient_on_shares(gradient: str) -> tuple[Disclosure, ...]:
    if gradient != "shared":
        return _gradient(None)
    return (
        (
            "first party of the plan",
            "∂L/∂z₁ of every mini-batch less the other parties' shares",
            "uniform words: its share of a sum",
        ),
        ("every other party", "a seed, and that a step is done", "its keystream is that party's share of ∂L/∂z₁"),
    )


def _on_shares(weights: str, relay: str, *, proved: bool) -> tuple[Disclosure, ...]:
    """What the parties open among themselves, and what the gradient of a party's own weights tells it."""
    own: tuple[Disclosure, ...] = (
        (
            "every party",
            "Xⱼᵀ(∂L/∂z) of its own first-layer weights, summed over the rows of a mini-batch",
            "to update them; it tells how the label goes with the party's columns, each row's label where a mini-batch has no more rows than "
            "the party has columns, and most labels over many of them",
        ),
    )
    proofs: tuple[Disclosure, ...] = (
        (
            "every party",
            "whether every checked layer on shares kept its interval: one bit a layer and mini-batch",
            "a range proof on shares; the run stops where it says no, and names the layer",
        ),
    )
    return (
        *(own if weights == "own" else ()),
        (
            "every party",
            "E = X − U once, and in every round of a mini-batch values on shares less a mask each",
            "uniform without the masks, which the dealer alone knows",
        ),
        *(proofs if proved else ()),
        (
            "dealer (coordinator)",
            "all masks, and what is derived from them",
            "it deals them; it sees no opening and no share of a result, and must collude with nobody",
        ),
        (relay, "sealed envelopes of the parties", "it forwards what it cannot read"),
    )


def _gradient(frozen: int | None) -> tuple[Disclosure, ...]:
    """Parties are sent dL/dz1 for as long as first-layer weights move."""
    if frozen == 0:
        return ()
    told = "" if frozen is None else f" of the first {frozen} epochs" if frozen > 1 else " of the first epoch"
    return (("every party", f"∂L/∂z₁ of every mini-batch{told}", _GRADIENT),)
