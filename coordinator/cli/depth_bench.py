"""`tertium bench depth`: from options to tables, records and the page."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

from rich.console import Console

from coordinator.cli.depth_table import print_depth
from coordinator.local.federation import local_table
from coordinator.local.tables import table_size
from coordinator.plan import Plan, parse_plan, read_plan_text
from coordinator.report.benchmarks.page import write_page
from coordinator.sweeps.bench_log import BenchLog
from coordinator.sweeps.depth import run_depth
from coordinator.sweeps.depth_variants import DepthVariant, depth_variants
from coordinator.sweeps.link_bench import default_plan, generated_plan
from kernel.errors import SettingsError
from kernel.secret.spec import SECRET_ACTIVATIONS, GradientForm, SecretActivation


def bench_depth(
    files: Sequence[Path] | None,
    gradients: Sequence[str],
    activation: str,
    *,
    epochs: int,
    repeats: int,
    generated: int | None,
    runs: Path | None,
    out: Path,
) -> None:
    """Every plan's variants are checked before the first is trained, and its record is written before the next plan's.

    Raises:
      SettingsError: a plan, a form of the gradient or an activation that cannot be used.
    """
    console = Console()
    named = [(str(file), read_plan_text(file)) for file in files] if files else [("the fraud plan", default_plan())]
    cases: list[tuple[Plan, list[DepthVariant]]] = []
    for what, text in named:
        chosen = text if generated is None else generated_plan(text, what, generated)
        variants = depth_variants(
            chosen, what, _forms(gradients), epochs=epochs + 1, activation=_activation(activation)
        )
        cases.append((parse_plan(chosen, what), variants))
    columns = [_columns(plan) for plan, _ in cases]
    with ExitStack() as stack:
        directory = runs or Path(stack.enter_context(TemporaryDirectory()))
        for (plan, variants), width in zip(cases, columns, strict=True):
            with console.status("…") as status:
                figures = run_depth(variants, repeats, directory, status.update)
            record = figures.record(columns=width, generated_rows=generated)
            print_depth(BenchLog(out).append("depth", record, plan), console)
    console.print(f"page: {write_page(out)}", soft_wrap=True)


def _columns(plan: Plan) -> int:
    """Encoded, of all parties.

    Raises:
      RowsError: a table cannot be read here.
    """
    return sum(table_size(party.table, local_table(plan, party.table), party.columns)[1] for party in plan.parties)


def _forms(named: Sequence[str]) -> list[GradientForm]:
    known: tuple[GradientForm, ...] = get_args(GradientForm)
    strange = [name for name in named if name not in known]
    if strange:
        raise SettingsError(f"a gradient is open or shared, not {strange[0]!r}")
    return [form for name in named for form in known if form == name]


def _activation(named: str) -> SecretActivation:
    for activation in SECRET_ACTIVATIONS:
        if activation == named:
            return activation
    raise SettingsError(f"shares cannot compute {named!r}; say {', '.join(SECRET_ACTIVATIONS)}")
