"""`bench size`: seconds of an epoch over the number of rows, at one rate (P2N2, Fig. 6), and the line through them."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from coordinator.local.federation import LocalFederation, local_table
from coordinator.local.links.shaped_links import choose_links
from coordinator.local.tables import table_size
from coordinator.plan import Plan
from coordinator.sweeps.axes import rate_name
from coordinator.sweeps.bench_log import BenchLog, Record
from coordinator.sweeps.link_bench import Figures, Line, LinkBench, plain_seconds, set_links, sized_plan, time_epochs
from kernel.errors import BadInputError

MIN_ROWS = 10
MIN_POINTS = 3


@dataclass(frozen=True)
class LineFit:
    """Least squares: seconds = intercept_seconds + slope_us_per_row * 1e-6 * rows."""

    slope_us_per_row: float
    intercept_seconds: float
    r_squared: float

    def seconds(self, rows: float) -> float:
        return self.intercept_seconds + self.slope_us_per_row * 1e-6 * rows


def fit_line(rows: Sequence[int], seconds: Sequence[float]) -> LineFit:
    """The line through (rows, seconds).

    Raises:
      BadInputError: fewer than three different numbers of rows; two are on a line always.
    """
    if len(set(rows)) < MIN_POINTS:
        raise BadInputError(f"{len(set(rows))} sizes make no fit; measure {MIN_POINTS} different ones at least")
    x, y = np.asarray(rows, np.float64), np.asarray(seconds, np.float64)
    centred = x - x.mean()
    slope = float(centred @ (y - y.mean()) / (centred @ centred))
    intercept = float(y.mean() - slope * x.mean())
    residual = float(np.square(y - (intercept + slope * x)).sum())
    total = float(np.square(y - y.mean()).sum())
    return LineFit(slope * 1e6, intercept, 1.0 - residual / total if total else 1.0)


def row_counts(fractions: Sequence[float], total: int) -> list[int]:
    """Rows per fraction.

    Raises:
      BadInputError: fewer than are needed to train and to test; too few different ones for a line.
    """
    counts = [round(fraction * total) for fraction in fractions]
    for fraction, count in zip(fractions, counts, strict=True):
        if count < MIN_ROWS:
            raise BadInputError(f"fraction {fraction:g} of {total} rows is {count}; wanted {MIN_ROWS} rows or more")
    if len(set(counts)) < MIN_POINTS:
        raise BadInputError(
            f"{len(set(counts))} different sizes make no line; name {MIN_POINTS} fractions or more, as 0.1,0.5,1.0"
        )
    return counts


def total_rows(plan: Plan, asked: int | None) -> int:
    """How many rows the whole is: what the tables have, or fewer where fewer are asked for.

    Raises:
      BadInputError: more than the tables have.
    """
    held = min(table_size(party.table, local_table(plan, party.table), party.columns)[0] for party in plan.parties)
    if asked is None:
        return held
    if not 1 <= asked <= held:
        raise BadInputError(
            f"{asked} rows were asked for and the tables have {held}; lower --rows, or let --generated make them up"
        )
    return asked


def run_size(
    bench: LinkBench,
    fractions: Sequence[float],
    rate_mbps: float | None,
    rows: int | None,
    log: BenchLog,
    note: Callable[[str], None],
) -> list[Record]:
    """Every line at every size, a federation a size; then the plain network at the largest. A record per line.

    Args:
      rows: of the whole, by default all that the tables have; note: told what is being done.

    Raises:
      BadInputError: what cannot be measured, before anything is started. TertiumError: a run failed.
    """
    first = bench.check()
    parties = tuple(party.name for party in first.parties)
    counts = row_counts(fractions, total_rows(first, rows))
    chosen = choose_links(bench.shaping, parties, delay_ms=bench.delay_ms)
    if chosen.reason:
        note(f"links are shaped by a relay: {chosen.reason}")
    name = f"size-{secrets.token_hex(4)}"
    points: dict[Line, list[Figures]] = {line: [] for line in bench.lines}
    with chosen.links as links:
        for number, (fraction, count) in enumerate(zip(fractions, counts, strict=True)):
            sized, directory = sized_plan(bench.text, bench.what, count), bench.runs / f"{name}-{number}"
            links.set_rate(None)  # the roles come up at full speed
            with LocalFederation(directory, bench.plan(bench.lines[0], sized)[1], placement=links) as federation:
                achieved = set_links(links, parties, rate_mbps)
                for line in bench.lines:
                    note(f"{line.name} with {count} rows at {rate_name(rate_mbps)}")
                    run = f"{name}-{number}-{line.name}"
                    found = time_epochs(federation, bench.plan(line, sized)[0], run).figures(rate_mbps, achieved)
                    points[line].append({"fraction": fraction, "table_rows": count, **found})
            if count == max(counts):
                largest, run_of_largest = federation, bench.runs / run
    note("the plain network, all rows")
    plain = plain_seconds(largest, run_of_largest)
    records = []
    for line in bench.lines:
        fit = fit_line([point["rows"] for point in points[line]], [point["seconds"].median for point in points[line]])
        plan = bench.plan(line)[1]
        figures: Figures = {
            "protocol": line.protocol,
            "micro_batches": line.micro_batches,
            "rate_mbps": rate_mbps,
            "shaping": links.kind,
            "delay_ms": bench.delay_ms,
            "parties": len(parties),
            "generated_rows": bench.generated_rows,
            "batch_rows": plan.batch_rows,
            "points": points[line],
            "fit": vars(fit),
            "baseline": {"seconds": plain},
        }
        if rate_mbps is None:
            most = max(points[line], key=lambda point: int(point["rows"]))["seconds"].median
            figures["ratio"] = {loop: most / spread.median for loop, spread in plain.items()}
        records.append(log.append("size", figures, plan))
    return records
