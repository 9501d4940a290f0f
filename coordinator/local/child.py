"""A command of the party package on every role's files, as a child process: one person owns all of a local run."""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from coordinator.job_plan import JobPlan
from coordinator.local.federation import LocalFederation
from coordinator.run_store import RunRecord
from coordinator.stack_secrets import StackSecrets
from kernel.errors import BadInputError, TertiumError
from kernel.plan_message import plan_hash


def evaluate_run(
    record: RunRecord,
    federation: LocalFederation,
    command: Sequence[str],
    options: Sequence[str],
    *,
    what: str,
    seconds: float,
) -> dict[str, Any]:
    """Run ``tertium GROUP COMMAND PLAN …`` and return the JSON it wrote; the roles may be stopped by now.

    Args:
      command: group and command, such as ("baseline", "train").
      options: of this command alone.
      what: names it in an error; seconds: a bound on its time.

    Raises:
      BadInputError: the child refused its input. TertiumError: it failed otherwise; either says its last line.
    """
    held_under = StackSecrets.kept_at(federation.secrets_key).barrier_plan(plan_hash(record.plan.message()))
    of_run = ["--run", record.run, "--server-state", str(federation.roles / "neutral-server" / "state")]
    of_run += ["--server-plan", held_under.hex()]
    return evaluate_parties(record.plan, federation, command, [*of_run, *options], what=what, seconds=seconds)


def evaluate_parties(
    plan: JobPlan,
    federation: LocalFederation,
    command: Sequence[str],
    options: Sequence[str],
    *,
    what: str,
    seconds: float,
) -> dict[str, Any]:
    """As `evaluate_run`, for a command that reads the plan and every party's config, and nothing of a run."""
    roles = federation.roles
    plan_file, result_file = roles / "plan.bin", roles / f"{command[0]}.json"
    plan_file.write_bytes(plan.message().SerializeToString(deterministic=True))
    arguments = [*command, str(plan_file), "--out", str(result_file)]
    for party in plan.parties:
        arguments += ["--party-config", str(federation.party_config(party.name))]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "coordinator.cli.main", *arguments, *options],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TertiumError(f"{what} took more than {seconds:g} s and was ended") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        kind = BadInputError if done.returncode == BadInputError.exit_code else TertiumError
        raise kind(f"{what} failed: {lines[-1].removeprefix('error: ')}")
    document: dict[str, Any] = json.loads(result_file.read_bytes())
    return document
