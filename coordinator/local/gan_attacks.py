"""Membership attacks on a local run of GANs: one person owns every role's files, and a child process reads them.

In a federation each party attacks its own discriminators only (event `membership`); nobody else may have them.
"""

from coordinator.local.child import evaluate_run
from coordinator.local.federation import LocalFederation
from coordinator.metrics_file import write_metrics
from coordinator.run_store import RunRecord
from kernel.errors import TertiumError

_SECONDS = 3600.0


def attack_gans(record: RunRecord, federation: LocalFederation) -> None:
    """Attack the discriminators of a finished run and note the results (event `gan_attacks`, with the fields that
    party/assessment/run_gan_attacks.py writes); the roles may be stopped by now.

    Raises:
      TertiumError: the child failed; says its last line. The sentence is noted as well.
    """
    try:
        found = evaluate_run(
            record, federation, ("attacks", "gan"), (), what="attacking the discriminators", seconds=_SECONDS
        )
    except TertiumError as error:
        record.note("attacks_failed", sentence=str(error))
        raise
    record.note("gan_attacks", **found)
    write_metrics(record)
