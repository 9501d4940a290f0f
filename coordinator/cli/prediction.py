"""What `predict` does, with running daemons or with a local run's roles."""

from pathlib import Path
from typing import Any

from rich.console import Console

from coordinator.cli.operator_client import OperatorClient
from coordinator.cli.progress import follow
from coordinator.job_plan import split_plan
from coordinator.plan import Plan
from coordinator.run_store import RunRecord
from kernel.errors import BadInputError

_REACH_SECONDS = 10.0
_SUFFIXES = (".csv", ".parquet", ".npz")


def predict_remote(run: str, table: str, coordinator: str, certs: Path) -> None:
    """``table`` is declared in every party's own config."""
    client = OperatorClient(coordinator, certs)
    try:
        client.wait_ready(_REACH_SECONDS)
        _follow(client, run, table)
    finally:
        client.close()


def predict_local(run: str, data: str, runs: Path) -> None:
    """``data`` is a file, a built-in table, or a table of the plan's [local.tables]."""
    from coordinator.local.federation import PREDICT_TABLE, LocalFederation

    record = RunRecord.load(runs / run)
    plan = split_plan(record.plan, "predict")
    sections = _sections(plan, plan.parties[0].table, data)
    with LocalFederation(runs / run, plan, extra_tables={PREDICT_TABLE: sections}) as federation:
        event = _follow(federation.client, run, PREDICT_TABLE)
        Console().print(f"file: {federation.roles / event['party'] / 'state' / event['file']}")


def _follow(client: OperatorClient, run: str, table: str) -> dict[str, Any]:
    _, first = client.predict(run, table)
    event = follow(client.watch(run, first), 1, Console())
    if event is None or event["event"] != "predicted":
        raise BadInputError(f"run {run!r} gave no predictions; look at its events.jsonl")
    return event


def _sections(plan: Plan, table: str, data: str) -> dict[str, Any]:
    from coordinator.local.federation import local_table
    from coordinator.local.tables import table_columns

    if not data.endswith(_SUFFIXES):
        return local_table(plan, data)
    if not Path(data).exists():
        raise BadInputError(f"there is no file {data}; name a .csv, .parquet or .npz file or a built-in table")
    trained = local_table(plan, table)
    section = {"source": str(Path(data).resolve()), "columns": table_columns(trained)}
    # a file of another format cannot be read in batches
    kept = ("id", "align", "clip_deviations", *(("storage",) if data.endswith(".parquet") else ()))
    return {**section, **{key: trained[key] for key in kept if key in trained}}
