"""What follows the training of a local run: the plain network, attacks, the report; and the same attacks on an older run."""

import time
from pathlib import Path

from rich.console import Console

from coordinator.cli.progress import stage
from coordinator.cli.summary import print_summary
from coordinator.gan_plan import GanPlan
from coordinator.local.attacks import AttackOptions, Recording, kept_recording, run_attacks
from coordinator.local.baseline import run_baseline
from coordinator.local.federation import LocalFederation
from coordinator.local.gan_attacks import attack_gans
from coordinator.report.quantities import duration, payload
from coordinator.run_store import RunRecord, RunStore
from kernel.errors import BadInputError, SettingsError, TertiumError

_PLAIN, _ATTACKS = "the plain network", "the attacks"


def judge_here(
    directory: Path,
    federation: LocalFederation,
    recording: Recording,
    attacks: AttackOptions,
    *,
    baseline: bool,
    report: bool,
    console: Console,
) -> None:
    """Plain network, attacks and report of a run that is trained; its roles may be stopped by now.

    An interruption is noted, the report is written all the same, and it goes on to the caller.

    Raises:
      TertiumError: the plain network failed; attacks that were asked for could not be run.
    """
    wanted = [name for name, asked in ((_PLAIN, baseline), (_ATTACKS, attacks.wanted)) if asked]
    missing, unattacked, started = list(wanted), None, time.monotonic()
    try:
        if baseline:
            with stage(console, "the plain network, same initialisation and batches", "plain network trained"):
                run_baseline(RunRecord.load(directory), federation)
            missing.remove(_PLAIN)
        if attacks.wanted:
            try:
                attack_here(directory, federation, recording, attacks, console)
            except TertiumError as error:  # the run is done all the same, and gets its report
                unattacked = error
            missing.remove(_ATTACKS)
    except KeyboardInterrupt:
        _tell_interrupted(directory, wanted, missing, recording, time.monotonic() - started, console, report=report)
        raise
    finally:
        recording.discard()
    if report:
        write_run_report(directory, console)
    if unattacked is not None:
        if attacks.asked:
            raise unattacked
        console.print(f"not attacked: {unattacked}", markup=False)


def attack_here(
    directory: Path, federation: LocalFederation, recording: Recording, attacks: AttackOptions, console: Console
) -> None:
    """`run_attacks` or, of GANs, `attack_gans`, with its stage on the screen."""
    record = RunRecord.load(directory)
    if isinstance(record.plan, GanPlan):
        with stage(console, "membership attacks on every discriminator", "discriminators attacked"):
            attack_gans(record, federation)
        return
    size = payload(recording.recorded_bytes())
    with stage(
        console, f"attacks ({attacks.effort}) on {size} that the roles received", f"attacked ({attacks.effort})"
    ):
        run_attacks(record, federation, recording, attacks)


def attack_again(run: str, runs: Path, transcripts: Path | None, attacks: AttackOptions) -> None:
    """Attack a local run, note the results beside its scores, and write its report anew; one of GANs needs no recording.

    Args:
      transcripts: where the recording is; None is where the run says it was kept.

    Raises:
      SettingsError: attacks "none". BadInputError: there is no such run, it was not trained here, or nothing was recorded.
      TertiumError: an attack failed.
    """
    if not attacks.wanted:
        raise SettingsError("--attacks none leaves nothing to do; say quick or full")
    record = RunStore(runs).get(run)
    federation = LocalFederation(record.directory, record.plan)  # never started: it says where the roles' files are
    if not federation.secrets_key.is_file():
        raise BadInputError(
            f"the roles of run {run} did not run here, and an attack needs every party's files; rehearse the plan with "
            "`tertium run PLAN --local`, on rows that you may use for it"
        )
    of_gans = isinstance(record.plan, GanPlan)
    recording = Recording(record.directory, None, AttackOptions()) if of_gans else kept_recording(record, transcripts)
    console = Console()
    try:
        attack_here(record.directory, federation, recording, attacks, console)
    except KeyboardInterrupt:
        console.print(f"interrupted: run {run} and its report are as they were before", markup=False)
        raise
    write_run_report(record.directory, console)


def write_run_report(directory: Path, console: Console) -> None:
    """Plots, TensorBoard logs, report.html, and the closing table."""
    from coordinator.report.disclosures import disclosures_of
    from coordinator.report.page import write_report
    from coordinator.report.tensorboard_log import write_tensorboard

    with console.status("report …"):
        # it may show real rows, and is not for others on this machine
        write_report(directory, disclosures_of(directory)).chmod(0o600)
        write_tensorboard(directory)
    print_summary(directory, console)


def _tell_interrupted(
    directory: Path,
    wanted: list[str],
    missing: list[str],
    recording: Recording,
    seconds: float,
    console: Console,
    *,
    report: bool,
) -> None:
    """To the page and to the screen: what is done, what is not, and how to have it."""
    if _ATTACKS in missing:
        during = "" if missing == [_ATTACKS] else ", while the plain network was trained"
        RunRecord.load(directory).note(
            "attacks_failed",
            sentence=f"Interrupted {duration(seconds)} after training{during}, before the attacks were done.",
        )
    if report:
        write_run_report(directory, console)
    done = ["the network is trained", *(f"{name} is done" for name in wanted if name not in missing)]
    sentences = [f"interrupted: {', '.join(done)}; not done: {' and '.join(missing)}"]
    if _ATTACKS in missing:
        files_are_enough = isinstance(RunRecord.load(directory).plan, GanPlan)
        sentences.append(
            f"attack it later with `tertium attacks run {directory.name}`"
            if recording.kept or files_are_enough
            else "the recording is deleted: a run with --record DIRECTORY can be attacked later (`tertium attacks run RUN`)"
        )
    console.print("; ".join(sentences), markup=False, soft_wrap=True)
