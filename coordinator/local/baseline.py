"""The plain network beside a local run: a child process that may read every role's files, because one person owns all."""

from coordinator.local.child import evaluate_run
from coordinator.local.federation import LocalFederation
from coordinator.metrics_file import write_metrics
from coordinator.run_store import RunRecord

_BASELINE_SECONDS = 3600.0


def run_baseline(record: RunRecord, federation: LocalFederation) -> None:
    """Train the plain network from the run's own barrier 0 and note the result; the roles may be stopped by now.

    Raises:
      TertiumError: the child failed; says its last line.
    """
    found = evaluate_run(
        record, federation, ("baseline", "train"), (), what="the plain network", seconds=_BASELINE_SECONDS
    )
    record.note("baseline", **found)
    write_metrics(record)
