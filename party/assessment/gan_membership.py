"""Membership attacks on discriminators (Mukherjee et al. 2021, section 5.2): rows with the highest scores are called members.

Somebody who holds a net and a pool of rows, of which a known number were trained on, calls that many of the highest scores
members. ``accuracy`` is the share of those that are; who draws blindly reaches ``chance``, members / (members + non-members).

| scores | whose net |
|---|---|
| ``own`` | the party's own discriminator: its probability of "real" |
| ``max``, ``mean`` | all parties' discriminators of the class (`combine`), for somebody who got hold of all of them |
| ``shared_max``, ``shared_own`` | the shared discriminator, which the neutral server has (`shared_scores`) |

Every number here is computed from real rows and is a release about them; who calls these functions says so to the reader.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from kernel.errors import BadInputError
from kernel.metrics.score_inputs import Floats, flat_values
from kernel.metrics.scores import auc, proportion

Combination = Literal["max", "mean"]

BINS = 50
_MEMBERS = 0x6A31


@dataclass(frozen=True)
class Membership:
    """How well scores tell members from non-members.

    Attributes:
      accuracy: share of those called members that are; low, high: ends of its 95 % interval.
      chance: what blind calling reaches.
      auc: P(score of a member > score of a non-member), ties counted one half.
    """

    accuracy: float
    low: float
    high: float
    chance: float
    auc: float
    members: int
    non_members: int


def membership(member_scores: npt.ArrayLike, non_member_scores: npt.ArrayLike) -> Membership:
    """Attack with these scores; higher means "more likely a member", and only their order matters.

    Rows that tie for the last places share them evenly: the accuracy is what breaking ties blindly gives on average, so a net
    that scores all rows alike reaches exactly chance.

    The interval is Wilson's with |members| trials, and a wide one: where a higher score never makes membership less likely, the
    accuracy varies no more than that many coins do. To first order its variance is (1 - w)^2 a(1 - a)/m + w^2 n f(1 - f)/m^2,
    with accuracy a = TPR, f = FPR = m(1 - a)/n and w the share of members among rows at the threshold; w <= a then, and this is
    at most a(1 - a)(1 - a + a^2)/m. Blind calling draws from an urn, with (1 - chance) times a coin's variance.

    Args:
      member_scores, non_member_scores: [rows] each.

    Raises:
      RowsError: no members or no non-members. BadInputError: a score is not finite.
    """
    members, others = (
        flat_values(member_scores, "scores of members"),
        flat_values(non_member_scores, "scores of others"),
    )
    both = np.concatenate([members, others])
    threshold = np.partition(both, len(both) - len(members))[len(both) - len(members)]
    places = len(members) - int(np.sum(both > threshold))
    share = places / int(np.sum(both == threshold))
    hits = float(np.sum(members > threshold)) + share * float(np.sum(members == threshold))
    score = proportion(hits, len(members))
    truth = np.repeat([1, 0], [len(members), len(others)])
    chance = len(members) / len(both)
    area = auc(truth, both).value
    return Membership(score.value, score.low, score.high, chance, area, len(members), len(others))


def pooled(attacks: Sequence[Membership]) -> Membership:
    """Over classes: each class's highest scores are called members, and all calls are counted together.

    ``chance`` and ``auc`` are means over classes, weighted by members; the interval is Wilson's over all members.

    Raises:
      BadInputError: nothing to pool.
    """
    if not attacks:
        raise BadInputError(
            "no class was attacked, so there is nothing to pool; every class needs training and test rows"
        )
    members = sum(one.members for one in attacks)
    score = proportion(min(members, sum(one.accuracy * one.members for one in attacks)), members)
    chance = sum(one.chance * one.members for one in attacks) / members
    area = sum(one.auc * one.members for one in attacks) / members
    others = sum(one.non_members for one in attacks)
    return Membership(score.value, score.low, score.high, chance, area, members, others)


def combine(scores_by_discriminator: Sequence[npt.ArrayLike], how: Combination) -> Floats:
    """Scores of the same rows by several discriminators as one, float64[rows]: their maximum or mean.

    Raises:
      BadInputError: no discriminator, or they did not score the same number of rows.
    """
    scores = [flat_values(one, "scores") for one in scores_by_discriminator]
    counts = [len(one) for one in scores]
    if len(set(counts)) != 1:
        raise BadInputError(
            f"discriminators scored {counts} rows; give each the same rows, and one discriminator or more"
        )
    return np.asarray(np.max(scores, axis=0) if how == "max" else np.mean(scores, axis=0))


def shared_scores(probabilities: Floats, own: int) -> dict[str, Floats]:
    """What the shared discriminator says of rows, as scores for `membership`.

    It never saw a real row and says of a row which party's generator it comes from. Generators imitate their party's training
    rows, so it may lean towards a row's owner (``shared_own``), or be surer of any origin where it has seen fakes like the row
    (``shared_max``, the original paper's maximum, for somebody who does not know whose rows these are).

    Args:
      probabilities: float64[rows, parties], after the softmax.
      own: place of the rows' owner among the parties.
    """
    return {"shared_max": probabilities.max(axis=1), "shared_own": probabilities[:, own]}


def draw_members(rows: int, most: int, seed: int, label: int) -> NDArray[np.int64]:
    """Which of a class's training rows are attacked: sorted places, int64[min(rows, most)], drawn without replacement.

    The original takes 200 against the roughly 1,000 test rows of a digit. A function of the class: not of what else is drawn.
    """
    if most >= rows:
        return np.arange(rows)
    return np.sort(np.random.default_rng([_MEMBERS, seed, label]).choice(rows, most, replace=False))


def score_histogram(scores: npt.ArrayLike) -> list[int]:
    """How many scores lie in each of 50 equal bins from 0 to 1 (Figs. 8 and 9 of the paper); the last includes 1."""
    counts, _ = np.histogram(flat_values(scores, "scores"), bins=BINS, range=(0, 1))
    return [int(count) for count in counts]
