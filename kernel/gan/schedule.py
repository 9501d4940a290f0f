"""Which models are trained together, how many steps each party takes with them, and what each step draws.

A *group* is a number of classes whose models are trained stacked; all parties have the same number of steps for each of its
classes. Rows are drawn uniformly with replacement, ``batch_rows`` a step. A party's draws are functions of experiment seeds
and of the class, never of the group: the same models come out however classes are grouped. Wrong origins depend on the place
in the groups, because the neutral server is told no classes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernel.errors import BadInputError
from kernel.gan.spec import GanSpec

_LATENT, _ROWS, _ORIGINS, _SAMPLES = 0x6A11, 0x6A12, 0x6A13, 0x6A14


@dataclass(frozen=True)
class Group:
    """``steps``: an epoch's, per party in the order of the plan; 0: it takes no part."""

    classes: tuple[int, ...]
    steps: tuple[int, ...]

    @property
    def longest(self) -> int:
        """Steps of the party with the most."""
        return max(self.steps)

    def participants(self, step: int) -> tuple[int, ...]:
        """Places of the parties that take this step (from 0)."""
        return tuple(place for place, steps in enumerate(self.steps) if step < steps)

    def exchanged(self) -> int:
        """Steps that two parties or more take: with one alone there is no origin to tell."""
        return sorted(self.steps)[-2] if len(self.steps) > 1 else 0


def plan_groups(spec: GanSpec, parties: Sequence[str], rows: Mapping[str, Mapping[int, int]]) -> tuple[Group, ...]:
    """Groups by the plan's steps policy.

    Args:
      rows: party -> class -> its training rows of it; a class that is not there has none.

    Raises:
      BadInputError: policy "paper" would train a class for no step (the original does so silently); a class of the plan that
        nobody has. Says which party has how many rows.
    """
    classes = spec.classes or tuple(
        sorted({label for counts in rows.values() for label, count in counts.items() if count})
    )
    steps = {label: _steps(spec, parties, label, [rows[party].get(label, 0) for party in parties]) for label in classes}
    groups: list[Group] = []
    for numbers in dict.fromkeys(steps.values()):
        alike = [label for label in classes if steps[label] == numbers]
        for start in range(0, len(alike), spec.classes_at_once):
            groups.append(Group(tuple(alike[start : start + spec.classes_at_once]), numbers))
    return tuple(sorted(groups, key=lambda group: group.classes))


def _steps(spec: GanSpec, parties: Sequence[str], label: int, counts: Sequence[int]) -> tuple[int, ...]:
    holders = [count for count in counts if count]
    if not holders:
        raise BadInputError(f"no party has a training row of class {label}; remove it from the plan's classes")
    batch = spec.batch_rows
    if spec.steps == "proportional":
        return tuple(-(-count // batch) for count in counts)
    if spec.steps == "paper":
        steps = sum(holders) // len(holders) // batch
        if steps == 0:
            smallest = min((count, party) for count, party in zip(counts, parties, strict=True) if count)
            raise BadInputError(
                f"class {label} has {sum(holders)} training rows at {len(holders)} parties ({smallest[1]!r} the fewest, {smallest[0]}), "
                f'and steps = "paper" makes of them no step of {batch} rows at all: lower batch_rows, or use steps = '
                '"equal_steps", which draws a batch from however few rows there are'
            )
    else:
        steps = spec.steps_per_epoch or -(-max(holders) // batch)
    return tuple(steps if count else 0 for count in counts)


def epoch_steps(groups: Sequence[Group]) -> int:
    """Steps of an epoch, one group after the other."""
    return sum(group.longest for group in groups)


class Round(NamedTuple):
    """Exchanged steps ``start`` to ``stop`` - 1 of a group, which the same ``participants`` (places) take."""

    start: int
    stop: int
    participants: tuple[int, ...]


def rounds(group: Group, steps_per_round: int) -> list[Round]:
    """The exchanged steps of an epoch in rounds: each ends after ``steps_per_round`` steps, or where participants change."""
    found: list[Round] = []
    for stop in sorted(set(group.steps) - {0}):
        start = found[-1].stop if found else 0
        participants = group.participants(stop - 1)
        if len(participants) > 1:
            found += [
                Round(first, min(first + steps_per_round, stop), participants)
                for first in range(start, stop, steps_per_round)
            ]
    return found


def latent_noise(epoch_seed: int, label: int, step: int, rows: int, width: int) -> NDArray[np.float32]:
    """Standard normal, float32[rows, width]; the same at all parties, as in the original (shared z)."""
    return np.random.default_rng([_LATENT, epoch_seed, label, step]).standard_normal((rows, width), np.float32)


def sample_noise(seed: int, label: int, rows: int, width: int) -> NDArray[np.float32]:
    """Standard normal, float32[rows, width], for rows that are sampled after training."""
    return np.random.default_rng([_SAMPLES, seed, label]).standard_normal((rows, width), np.float32)


def drawn_rows(epoch_seed: int, label: int, step: int, place: int, rows: int, batch_rows: int) -> NDArray[np.int64]:
    """Places of a step's real rows among a party's rows of the class, uniform with replacement; ``place`` is the party's."""
    return np.random.default_rng([_ROWS, epoch_seed, label, step, place]).integers(0, rows, batch_rows)


def wrong_origins(
    seed: int, epoch: int, group: int, model: int, step: int, own: int, participants: Sequence[int], rows: int
) -> NDArray[np.int32]:
    """Per row an origin that is not ``own``, uniform over the other ``participants``: int32[rows]."""
    others = np.array([place for place in participants if place != own], np.int32)
    generator = np.random.default_rng([_ORIGINS, seed, epoch, group, model, step, own])
    return others[generator.integers(0, len(others), rows)]


def rows_per_class(rows: int, classes: Sequence[int]) -> Counter[int]:
    """``rows`` spread over classes as evenly as whole numbers can be; earlier classes have the ones that are left over."""
    share, left = divmod(rows, len(classes))
    return Counter({label: share + (number < left) for number, label in enumerate(classes)})
