"""`bench frontier`: score against leakage of a plan under mitigations and their mixes, each attacked afresh."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from coordinator.local.attacks import AttackOptions
from coordinator.plan import Plan, parse_plan, read_plan_text
from coordinator.sweeps.attacked_run import attacked_run, family_of
from coordinator.sweeps.bench_log import BenchLog, Record
from coordinator.sweeps.epoch import tables_are_here
from coordinator.sweeps.variants import Variant, VariantsFile, variants_of, varied
from kernel.errors import BadInputError, SettingsError, TertiumError

BENCH = "frontier"
DEFAULT_PLANS = ("fraud", "distress", "mnist")


@dataclass(frozen=True)
class FrontierCase:
    """One variant of one plan with one seed, ready to train."""

    base: Plan
    variant: Variant
    text: str
    plan: Plan

    def __str__(self) -> str:
        return f"{self.base.name}, {self.variant.name}, seed {self.plan.seed}"


def packaged_plans() -> list[Path]:
    folder = Path(str(files("coordinator.sweeps") / "plans"))
    return [folder / f"{name}.toml" for name in DEFAULT_PLANS]


def default_plans(note: Callable[[str], None]) -> list[Path]:
    """The packaged plans whose tables are on this machine; ``note`` is told of the others.

    Raises:
      BadInputError: none is.
    """
    found = []
    for file in packaged_plans():
        if tables_are_here(file):
            found.append(file)
        else:
            note(f"{file.stem} is left out: its table is not on this machine")
    if not found:
        raise BadInputError(f"no table of {', '.join(DEFAULT_PLANS)} is on this machine; name a plan file of yours")
    return found


def frontier_cases(
    plan_files: Sequence[Path], listed: VariantsFile, seeds: Sequence[int], only: Sequence[str] = ()
) -> list[FrontierCase]:
    """Every variant of every plan, seed by seed.

    Args:
      only: names of the variants to measure; empty is all.

    Raises:
      SettingsError: a plan, variant, name or combination that cannot be used; before anything is trained.
    """
    if not seeds:
        raise SettingsError("a sweep needs one seed at least")
    cases, names = [], set[str]()
    for file in plan_files:
        text = read_plan_text(file)
        base = parse_plan(text, str(file))
        variants = variants_of(listed, base.name)
        names |= {variant.name for variant in variants}
        for seed in seeds:
            for variant in variants:
                changed, plan = varied(text, str(file), variant, seed)
                if not only or variant.name in only:
                    cases.append(FrontierCase(base, variant, changed, plan))
    unknown = [name for name in only if name not in names]
    if unknown:
        raise SettingsError(
            f"there is no variant {unknown[0]!r}; these plans have {', '.join(map(repr, sorted(names)))} (a line each with "
            "`tertium bench frontier --list`)"
        )
    return cases


def run_frontier(
    cases: Sequence[FrontierCase], attacks: AttackOptions, runs: Path, log: BenchLog, failed: Callable[[str], None]
) -> Iterator[Record]:
    """Train and attack every case and log one record a run: ``variant``, ``overrides``, ``plain``; ``base`` and ``family``,
    which are equal for runs of one plan and of one variant whatever their seed; and what `attacked_run` measures.

    A case that fails is told to ``failed`` and the others go on.

    Raises:
      BadInputError: some failed; after all were tried.
    """
    sentences = []
    for case in cases:
        try:
            figures = attacked_run(case.text, case.plan, runs, attacks)
        except TertiumError as error:
            sentences.append(f"{case}: {error}")
            failed(sentences[-1])
            continue
        described = {
            "variant": case.variant.name,
            "overrides": dict(case.variant.overrides),
            "plain": case.variant.is_plain,
            "base": family_of(case.base),
            "family": family_of(case.plan),
        }
        yield log.append(BENCH, described | figures, case.plan)
    if sentences:
        raise BadInputError(f"{len(sentences)} of {len(cases)} runs failed; the first is {sentences[0]}")
