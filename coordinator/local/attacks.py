"""Attacks on a local run: what the roles received is recorded while they train, attacked by a child process, and deleted.

A federation on separate machines records nothing, so it cannot be attacked this way: rehearse with `--local`.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from coordinator.local.child import evaluate_run
from coordinator.local.federation import LocalFederation
from coordinator.metrics_file import write_metrics
from coordinator.run_store import RunRecord
from kernel.errors import BadInputError, SettingsError, TertiumError

Effort = Literal["none", "quick", "full"]
EFFORTS: tuple[Effort, ...] = ("none", "quick", "full")
LEAKED_FRACTION = 0.1
RECOVERIES = "recoveries.png"
_RECORDED = "recorded"

_SECONDS = 3600.0


@dataclass(frozen=True)
class AttackOptions:
    """How a run is attacked.

    Attributes:
      leaked_fraction: share of the training rows that attackers are given to learn from.
      asked: somebody asked for them by name: that they cannot be run is an error then, and else a remark.
    """

    effort: Effort = "none"
    leaked_fraction: float = LEAKED_FRACTION
    asked: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.leaked_fraction < 1:
            raise SettingsError(
                f"--leaked-fraction is {self.leaked_fraction:g}; it must be above 0 and below 1: attackers learn from leaked "
                "rows and are judged on the others"
            )

    @property
    def wanted(self) -> bool:
        return self.effort != "none"


def attack_options(effort: str | None, leaked_fraction: float | None, *, local: bool) -> AttackOptions:
    """From the command line; without a word, quick and `LEAKED_FRACTION` for a local run and none for another.

    Raises:
      SettingsError: an unknown effort, a fraction of 0 or 1, or anything asked of a run whose roles record nothing.
    """
    if not local and effort not in (None, "none"):
        raise SettingsError(
            f"--attacks {effort} needs a recording of what every role received, and daemons that run elsewhere record nothing; "
            "rehearse the plan with --local, where one person owns all rows"
        )
    if not local and leaked_fraction is not None:
        raise SettingsError(
            "--leaked-fraction is for the attacks on a --local run; daemons that run elsewhere record nothing"
        )
    chosen = effort or ("quick" if local else "none")
    if chosen not in EFFORTS:
        raise SettingsError(f"--attacks is {chosen!r}; it is {', '.join(EFFORTS)}")
    fraction = LEAKED_FRACTION if leaked_fraction is None else leaked_fraction
    return AttackOptions(EFFORTS[EFFORTS.index(chosen)], fraction, asked=effort is not None)


class Recording:
    """Where a local run's transcripts are, and for how long.

    Args:
      run_directory: the run's; keep: a directory asked for with --record, which stays and holds everything.
    """

    def __init__(self, run_directory: Path, keep: Path | None, options: AttackOptions) -> None:
        self.kept = keep is not None
        temporary = run_directory / "roles" / "transcripts"
        self.directory = keep if keep is not None else temporary if options.wanted else None

    @property
    def scope(self) -> Literal["all", "training"]:
        """An attack needs the training stream alone."""
        return "all" if self.kept else "training"

    def recorded_bytes(self) -> int:
        """On disk now."""
        if self.directory is None or not self.directory.is_dir():
            return 0
        return sum(file.stat().st_size for file in self.directory.glob("*.transcript"))

    def note(self, record: RunRecord) -> None:
        """In the run's events: where `kept_recording` finds it."""
        if self.directory is not None:
            record.note(_RECORDED, directory=str(self.directory.resolve()), bytes=self.recorded_bytes())

    def discard(self) -> None:
        """Delete what nobody asked to keep."""
        if self.directory is not None and not self.kept:
            shutil.rmtree(self.directory, ignore_errors=True)


def kept_recording(record: RunRecord, transcripts: Path | None) -> Recording:
    """The recording of a run that is trained.

    Args:
      transcripts: where it is; None is where the run noted that it was kept.

    Raises:
      BadInputError: there is none.
    """
    noted = [str(event["directory"]) for event in record.events if event["event"] == _RECORDED]
    directory = transcripts or (Path(noted[-1]) if noted else None)
    if directory is None:
        raise BadInputError(
            f"run {record.run} kept no recording, and an attack reads what a role received; record a run with "
            "`tertium run PLAN --local --record DIRECTORY`, or say with --transcripts where its recording is"
        )
    recording = Recording(record.directory, directory, AttackOptions())
    if not recording.recorded_bytes():
        raise BadInputError(
            f"{directory} holds no transcript of run {record.run}; say with --transcripts where its recording is, or record "
            "a run with `tertium run PLAN --local --record DIRECTORY`"
        )
    return recording


def run_attacks(record: RunRecord, federation: LocalFederation, recording: Recording, options: AttackOptions) -> None:
    """Attack the views of a finished run and note the results; the roles may be stopped by now.

    Raises:
      BadInputError: nothing was recorded, or too little. TertiumError: the child failed; says its last line. The sentence
        is noted as well.
    """
    try:
        found = _attacked(record, federation, recording, options)
    except TertiumError as error:
        record.note("attacks_failed", sentence=str(error))
        raise
    record.note("attacks", **found, recorded_bytes=recording.recorded_bytes(), kept=recording.kept)
    write_metrics(record)


def _attacked(
    record: RunRecord, federation: LocalFederation, recording: Recording, options: AttackOptions
) -> dict[str, Any]:
    if recording.directory is None:
        raise BadInputError(f"run {record.run} has no transcript, and an attack reads what a role received; record it")
    image = federation.roles / RECOVERIES  # an older picture stays until there is a result
    image.unlink(missing_ok=True)
    found = evaluate_run(
        record,
        federation,
        ("attacks", "evaluate"),
        (
            "--transcripts",
            str(recording.directory),
            "--effort",
            options.effort,
            "--leaked-fraction",
            str(options.leaked_fraction),
            "--image",
            str(image),
        ),
        what="attacking the run",
        seconds=_SECONDS,
    )
    shown = record.directory / "plots" / RECOVERIES
    if image.exists():
        shown.parent.mkdir(exist_ok=True)
        image.replace(shown)
    else:
        shown.unlink(missing_ok=True)
    return found
