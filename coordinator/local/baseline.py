"""The plain network beside a local run: a child process that may read every role's files, because one person owns all."""

import json
import subprocess
import sys

from coordinator.local.federation import LocalFederation
from coordinator.metrics_file import write_metrics
from coordinator.run_store import RunRecord
from coordinator.stack_secrets import StackSecrets
from kernel.errors import TertiumError
from kernel.plan_message import plan_hash

_BASELINE_SECONDS = 3600.0


def run_baseline(record: RunRecord, federation: LocalFederation) -> None:
    """Train the plain network from the run's own barrier 0 and note the result; the roles may be stopped by now.

    Raises:
      TertiumError: the child failed; says its last line.
    """
    roles = federation.roles
    plan_file, result_file = roles / "plan.bin", roles / "baseline.json"
    plan_file.write_bytes(record.plan.message().SerializeToString(deterministic=True))
    command = [
        sys.executable,
        "-m",
        "coordinator.cli.main",
        "baseline",
        "train",
        str(plan_file),
        "--run",
        record.run,
    ]
    command += ["--server-state", str(roles / "neutral-server" / "state"), "--out", str(result_file)]
    held_under = StackSecrets.kept_at(federation.secrets_key).barrier_plan(plan_hash(record.plan.message()))
    command += ["--server-plan", held_under.hex()]
    for party in record.plan.parties:
        command += ["--party-config", str(federation.party_config(party.name))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_BASELINE_SECONDS, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        raise TertiumError(f"the plain network failed: {lines[-1].removeprefix('error: ')}")
    record.note("baseline", **json.loads(result_file.read_bytes()))
    write_metrics(record)
