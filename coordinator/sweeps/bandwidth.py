"""`bench bandwidth`: seconds of an epoch over the rate of the parties' links (P2N2, Fig. 5)."""

import secrets
from collections.abc import Callable, Sequence

from coordinator.local.federation import LocalFederation
from coordinator.local.links.shaped_links import choose_links
from coordinator.plan import Plan
from coordinator.sweeps.axes import rate_name
from coordinator.sweeps.bench_log import BenchLog, Record
from coordinator.sweeps.link_bench import Figures, Line, LinkBench, plain_seconds, set_links, time_epochs


def run_bandwidth(
    bench: LinkBench, rates: Sequence[float | None], log: BenchLog, note: Callable[[str], None]
) -> list[Record]:
    """Every line at every rate, in one federation; then the plain network once. A record per line is appended.

    Args:
      note: told what is being done.

    Raises:
      BadInputError: what cannot be measured, before anything is started. TertiumError: a run failed.
    """
    first = bench.check()
    parties = tuple(party.name for party in first.parties)
    chosen = choose_links(bench.shaping, parties, delay_ms=bench.delay_ms)
    if chosen.reason:
        note(f"links are shaped by a relay: {chosen.reason}")
    name = f"bandwidth-{secrets.token_hex(4)}"
    points: dict[Line, list[Figures]] = {line: [] for line in bench.lines}
    plans: dict[Line, Plan] = {}
    runs = []
    with chosen.links as links, LocalFederation(bench.runs / name, first, placement=links) as federation:
        for line in bench.lines:
            text, plans[line] = bench.plan(line)
            for rate in rates:
                note(f"{line.name} at {rate_name(rate)}{'' if rate is None else ' Mbit/s'}")
                achieved = set_links(links, parties, rate)
                runs.append(f"{name}-{line.name}-{rate_name(rate)}")
                points[line].append(time_epochs(federation, text, runs[-1]).figures(rate, achieved))
    note("the plain network")
    plain = plain_seconds(federation, bench.runs / runs[0])
    records = []
    for line, plan in plans.items():
        figures: Figures = {
            "protocol": line.protocol,
            "micro_batches": line.micro_batches,
            "shaping": links.kind,
            "delay_ms": bench.delay_ms,
            "parties": len(parties),
            "generated_rows": bench.generated_rows,
            "batch_rows": plan.batch_rows,
            "points": points[line],
            "baseline": {"seconds": plain},
        }
        figures |= _ratio(points[line], plain)
        records.append(log.append("bandwidth", figures, plan))
    return records


def _ratio(points: Sequence[Figures], plain: Figures) -> Figures:
    """Split over plain where the links have no limit: what remains is computation and processes."""
    for point in points:
        if point["rate_mbps"] is None:
            return {"ratio": {loop: point["seconds"].median / spread.median for loop, spread in plain.items()}}
    return {}
