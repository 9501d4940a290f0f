"""What layers on shares add to a step: openings between the parties, first-layer gradients, corrections, rounds.

Sizes are those of the step itself: `kernel.secret.openings` and the recipe that dealer and parties share.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from coordinator.message_sizes import (
    COORDINATOR,
    add_relayed,
    envelope_bytes,
    framed,
    relay_of,
    ring_shape,
    step_header,
)
from kernel.plan_message import ring_of, share_ring
from kernel.secret.openings import opened_words
from kernel.secret.plan import secret_spec
from kernel.secret.recipe import step_recipe
from kernel.secret.spec import SecretSpec
from protos.v1 import dealing_pb2, plan_pb2

_WORD_BYTES = 8


@dataclass(frozen=True)
class StepRounds:
    """Rounds of openings of one training step.

    Attributes:
      layers: (forward, backward) of each layer before the cut; rest: what belongs to no layer (all weights at once, a shared
        gradient, moves, range proofs that nothing carried).
    """

    layers: tuple[tuple[int, int], ...]
    rest: int

    @property
    def total(self) -> int:
        return self.rest + sum(forward + backward for forward, backward in self.layers)


def step_rounds(plan: plan_pb2.RunPlan) -> StepRounds:
    """Of a plan that `is_secret`; the number of columns and rows does not matter.

    Raises:
      SettingsError, WireError: as `secret_spec`.
    """
    spec = secret_spec(plan, columns=1)
    # shared weights move in every step, so that a layer more is that layer's rounds and no other's
    found = [_rounds(replace(spec, layers=spec.layers[:count], weights="shared")) for count in range(spec.depth)]
    layers = tuple((after[0] - before[0], after[1] - before[1]) for before, after in pairwise(found))
    return StepRounds(layers, sum(_rounds(spec)) - sum(map(sum, layers)))


def secret_step(
    plan: plan_pb2.RunPlan, rows: int, encoded_columns: Sequence[int]
) -> tuple[Counter[str], Counter[str], int]:
    """Of one training step over ``rows`` rows, beside what goes to the neutral server and back.

    Returns:
      Bytes per link, bytes between parties through the relay, and envelopes that each party waits for.
    """
    spec = secret_spec(plan, sum(encoded_columns))
    links: Counter[str] = Counter()
    relayed: Counter[str] = Counter()
    ring, names = ring_of(plan.ring), [party.name for party in plan.parties]
    words = opened_words(spec, rows, training=True).words
    openings = [envelope_bytes(ring, (count,), f"opening-{number}") for number, count in enumerate(words, 1)]
    own = spec.weights == "own"
    for sender in names:
        for receiver, columns in zip(names, encoded_columns, strict=True):
            if sender == receiver:
                continue
            for opening in openings:
                add_relayed(links, relayed, sender, receiver, opening, relay=relay_of(plan))
            if own:
                gradient = envelope_bytes(ring, (columns, spec.widths[1]), "first-gradient")
                add_relayed(links, relayed, sender, receiver, gradient, relay=relay_of(plan))
    corrected = step_recipe(spec, rows, training=True).correction_words
    correction = dealing_pb2.Correction(header=step_header(COORDINATOR), words=ring_shape(share_ring(plan), corrected))
    links[f"{COORDINATOR}>{max(names)}"] += framed(correction, corrected * _WORD_BYTES)
    return links, relayed, (len(words) + own) * (len(names) - 1)


def _rounds(spec: SecretSpec) -> tuple[int, int]:
    found = opened_words(spec, 1, training=True)
    return len(found.forward), len(found.backward)
