"""A run on the screen: one bar with loss, rows a second, bytes and time left; one line for every other event."""

import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from coordinator.cli.event_lines import line_of
from coordinator.report.quantities import duration
from coordinator.run_store import Event
from kernel.errors import BadInputError, PeerError, PolicyError, RangeError, TertiumError

_QUIET = {"prepared", "preview"}
_ENDS = {"paused", "failed"}
_ERRORS: dict[str, type[TertiumError]] = {
    "FAILURE_REASON_BAD_INPUT": BadInputError,
    "FAILURE_REASON_RANGE": RangeError,
    "FAILURE_REASON_POLICY": PolicyError,
    "FAILURE_REASON_PEER": PeerError,
}


def follow(events: Iterable[Event], epochs: int, console: Console) -> Event | None:
    """Show events until they end; returns the last one.

    Raises:
      TertiumError: the run paused or failed; the class carries the exit code.
    """
    last: Event | None = None
    with _RunBar(epochs, console) as bar:
        for event in events:
            bar.show(event)
            last = event
    if last is not None and last["event"] in _ENDS:
        raise _ERRORS.get(last.get("reason", ""), TertiumError)(last["sentence"])
    return last


@contextmanager
def stage(console: Console, doing: str, done: str) -> Iterator[None]:
    """One thing after another that a run does: a line when it starts (on a terminal one that counts its seconds and goes),
    and one with what it took. A stage that fails gets no second line."""
    started = time.monotonic()
    if console.is_terminal:
        columns = (SpinnerColumn(), TextColumn("{task.description} …", markup=False), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            progress.add_task(doing)
            yield
    else:
        console.print(f"{doing} …", markup=False, soft_wrap=True)
        yield
    console.print(f"{done} in {duration(time.monotonic() - started)}", markup=False)


class _RunBar(AbstractContextManager["_RunBar"]):
    def __init__(self, epochs: int, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.total:.0f}"),
            BarColumn(bar_width=24),
            TextColumn("loss {task.fields[loss]}  {task.fields[speed]} rows/s  {task.fields[megabytes]} MB/epoch"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=False,
        )
        self._task = self._progress.add_task(
            "train", total=epochs, epoch=0, loss="–", speed="–", megabytes="–", visible=False
        )

    def __enter__(self) -> "_RunBar":
        self._progress.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._progress.stop()

    def show(self, event: Event) -> None:
        kind = event["event"]
        if kind == "epoch":
            self._progress.update(
                self._task,
                completed=event["epoch"],
                visible=True,
                epoch=event["epoch"],
                loss=_loss(event),
                speed=f"{event['rows'] / max(event['seconds'], 1e-9):,.0f}",
                megabytes=f"{sum(event['bytes'].values()) / 1e6:.2f}",
            )
        elif kind == "progress":
            done = event["epoch"] - 1 + event["step"] / event["steps"]
            self._progress.update(self._task, completed=done, visible=True, loss=_loss(event))
        elif line := line_of(event):
            self._console.print(line, style="dim" if kind in _QUIET else None, markup=False)


def _loss(event: Event) -> str:
    """A dash where nobody knows it: without a neutral server the label head is on shares."""
    return f"{event['loss']:.4f}" if "loss" in event else "–"
