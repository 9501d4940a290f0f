"""Run directories at the coordinator: plan, events, status. Events are appended, never rewritten.

On disk all of them; in memory all but old `progress`, of which a run makes two a second for as long as it lasts.
"""

import contextlib
import json
import threading
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from coordinator.job_plan import JobPlan, parse_job_plan
from kernel.durable import append_durably, write_durably
from kernel.errors import BadInputError, WireError
from kernel.plan_message import safe_run_name
from kernel.run_state import RunState, advance

Event = dict[str, Any]
_PLAN, _EVENTS, _STATUS = "plan.toml", "events.jsonl", "status.json"
_FINAL = {"done", "failed", "paused", "predicted", "sampled"}
_DURABLE = _FINAL | {"barrier", "evaluated", "unscored"}
_PROGRESS_KEPT = 256
"""In memory; who watches and is later than two minutes misses the older ones."""


class RunRecord:
    """One run on disk and in memory; several threads append and watch."""

    def __init__(self, directory: Path, plan_text: str) -> None:
        self.run = directory.name
        self.directory = directory
        self.plan: JobPlan = parse_job_plan(plan_text)
        self._changed = threading.Condition()
        self._status: dict[str, Any] = {"state": RunState.JOINED.value, "generation": 0}
        self._events: list[Event | None] = []
        self._progress: deque[int] = deque()

    @classmethod
    def create(cls, directory: Path, plan_text: str) -> "RunRecord":
        if directory.exists() and (directory / _PLAN).exists():
            raise BadInputError(f"run {directory.name!r} exists; resume it or choose another name")
        record = cls(directory, plan_text)
        write_durably(directory / _PLAN, plan_text.encode())
        record._save_status()
        return record

    @classmethod
    def load(cls, directory: Path) -> "RunRecord":
        """A run of an earlier life of this coordinator; one that was training is paused.

        Raises:
          BadInputError: there is no such run.
        """
        try:
            record = cls(directory, (directory / _PLAN).read_text(encoding="utf-8"))
            record._status = json.loads((directory / _STATUS).read_bytes())
        except OSError as error:
            raise BadInputError(
                f"there is no run {directory.name!r} here; list runs with `ls {directory.parent.name}`"
            ) from error
        events = directory / _EVENTS
        if events.exists():
            text = events.read_text(encoding="utf-8")
            for line in text.splitlines():
                with contextlib.suppress(json.JSONDecodeError):  # a line torn by kill -9
                    record._keep(json.loads(line))
            if text and not text.endswith("\n"):
                append_durably(events, "")  # the next event starts a line of its own
        if record.state in (RunState.TRAINING, RunState.READY, RunState.JOINED):
            record._status["state"] = RunState.PAUSED.value
        return record

    @property
    def events(self) -> list[Event]:
        """What is kept in memory, oldest first."""
        with self._changed:
            return [event for event in self._events if event is not None]

    @property
    def next_number(self) -> int:
        """The number the next event will have; `watch` counts by these."""
        return len(self._events)

    @property
    def state(self) -> RunState:
        return RunState(self._status["state"])

    @property
    def generation(self) -> int:
        return int(self._status["generation"])

    def move(self, state: RunState) -> None:
        self._status["state"] = advance(self.state, state).value
        self._save_status()

    def next_generation(self) -> int:
        """A number never used by this run before, on disk before anybody hears of it."""
        self._status["generation"] = self.generation + 1
        self._save_status()
        return self.generation

    def note(self, event: str, **fields: Any) -> None:
        """Append an event; those a later life depends on are fsynced before this returns."""
        line: Event = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "event": event,
            "run": self.run,
            **fields,
        }
        text = json.dumps(line)
        with self._changed:
            if event in _DURABLE:
                append_durably(self.directory / _EVENTS, text)
            else:
                with (self.directory / _EVENTS).open("a", encoding="utf-8") as file:
                    file.write(text + "\n")
            self._keep(line)
            self._changed.notify_all()

    def watch(self, first: int, alive: "AliveCheck") -> Iterator[tuple[int, Event]]:
        """Events from number ``first`` on, as they come, up to the one that ends this stretch of the run."""
        number = first
        while alive():
            with self._changed:
                if number >= len(self._events):
                    self._changed.wait(0.5)
                    continue
                event = self._events[number]
            number += 1
            if event is None:
                continue
            yield number - 1, event
            if event["event"] in _FINAL:
                return

    def _keep(self, event: Event) -> None:
        if event["event"] == "progress":
            self._progress.append(len(self._events))
            if len(self._progress) > _PROGRESS_KEPT:
                self._events[self._progress.popleft()] = None
        self._events.append(event)

    def _save_status(self) -> None:
        write_durably(self.directory / _STATUS, json.dumps(self._status).encode())


class AliveCheck:
    """Whether a watcher is still there."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def __call__(self) -> bool:
        return bool(self._context.is_active())


def _named(run: str) -> str:
    """Here the name is the operator's input, not a peer's message."""
    try:
        return safe_run_name(run)
    except WireError as error:
        raise BadInputError(str(error)) from error


class RunStore:
    """All runs below one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._records: dict[str, RunRecord] = {}
        self._lock = threading.Lock()

    def create(self, run: str, plan_text: str) -> RunRecord:
        with self._lock:
            record = RunRecord.create(self._directory / _named(run), plan_text)
            self._records[run] = record
            return record

    def get(self, run: str) -> RunRecord:
        """The run of that name, loaded from disk if this is a new life of the coordinator.

        Raises:
          BadInputError: there is none.
        """
        with self._lock:
            if run not in self._records:
                self._records[run] = RunRecord.load(self._directory / _named(run))
            return self._records[run]
