"""A federation as its users set it up: configs by hand, one process a role, the command line to talk to it.

Three parties hold the same forty people and a shelf of tables with one fault each; a plan chooses which table each
party brings, so that one federation, started once, meets every case.
"""

import csv
import io
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import tomli_w

from coordinator.certificate_authority import CertificateAuthority, write_issued
from coordinator.cli.operator_client import OperatorClient
from coordinator.local.federation import free_port
from kernel.wire.identity import Peer, fingerprint, load_certificate

COMMAND_SECONDS = 90.0
READY_SECONDS = 60.0
STOP_SECONDS = 5.0
ATTEND_SECONDS = 6.0
PEOPLE = 40
SECRET = "4711.0815"
"""A cell outside every schema's bounds; it may stand in its own file and nowhere else."""


@dataclass(frozen=True)
class Outcome:
    """What the user got back."""

    code: int
    out: str
    err: str

    @property
    def sentence(self):
        lines = self.err.strip().splitlines()
        return lines[-1] if lines else ""

    def refused(self, code, *words):
        """One line that starts with `error: `, says all of ``words``, and comes without a traceback."""
        assert self.sentence.startswith("error: "), self
        assert "Traceback" not in self.err, self
        assert len([line for line in self.err.splitlines() if line.startswith("error: ")]) == 1, self
        missing = [word for word in words if word not in self.sentence]
        assert not missing, f"{missing} not in: {self.sentence}"
        assert self.code == code, self
        return self.sentence


def environment():
    """Without the user's own; one thread per library, as several processes share two cores."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH") if name in os.environ}
    return {**kept, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def start(*arguments, cwd, log=None):
    """A `tertium` process; the caller ends it."""
    sink = subprocess.PIPE if log is None else log.open("ab")
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "coordinator.cli.main", *map(str, arguments)],
            cwd=cwd,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
        )
    finally:
        if log is not None:
            sink.close()


def outcome_of(process, seconds=COMMAND_SECONDS):
    """Wait for a process of `start` and gather what it said."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.terminate()  # a local run ends its own children
        out, err = process.communicate(timeout=2 * STOP_SECONDS)
        pytest.fail(f"not done in {seconds:g} s: {out.decode()}{err.decode()}")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return Outcome(process.returncode, out.decode(), err.decode())


def stop(processes):
    """SIGTERM to all, then seconds each took, by name; SIGKILL to what is left."""
    started = time.monotonic()
    for process in processes.values():
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    took = {}
    for name, process in processes.items():
        try:
            process.wait(timeout=max(0.1, started + STOP_SECONDS - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        took[name] = time.monotonic() - started
    return took


def wait_until(condition, seconds, what):
    """Poll: the state waited for is another process's."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"no {what} within {seconds:g} s")
        time.sleep(0.05)
    return found


def certificates(directory, *parties, authority=None):
    """An authority and a certificate for every role, as `tertium certs init` leaves them."""
    authority = authority or CertificateAuthority.create()
    authority.save(directory)
    for peer in (
        *(Peer(role, role) for role in ("coordinator", "neutral-server", "operator")),
        *(Peer("party", party) for party in parties),
    ):
        write_issued(directory, peer.name, authority.issue(peer))
    return authority


def pin(directory, name):
    return fingerprint(load_certificate((directory / f"{name}.pem").read_bytes(), name))


def tls(name, certs):
    return {part: str(certs / f"{name}.{end}") for part, end in (("certificate", "pem"), ("key", "key"))} | {
        "authority": str(certs / "authority.pem")
    }


def write_config(path, document):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tomli_w.dumps(document))
    return path


def plan_document(*parties, **changes):
    """A small plan over ``(party, table)`` pairs; the last party holds the label."""
    document = {
        "name": "trial",
        "seed": 3,
        "epochs": 2,
        "batch_rows": 16,
        "test_fraction": 0.25,
        "network": {"widths": [4, 4], "activations": ["sigmoid", "sigmoid"]},
        "optimizer": {"name": "adam", "learning_rate": 0.05},
        "parties": [
            {"name": name, "table": table, "columns": list(columns or COLUMNS[name])}
            for name, table, *columns in parties
        ],
    }
    document["parties"][-1]["label"] = "outcome"
    for key, value in changes.items():
        document[key] = {**document.get(key, {}), **value} if isinstance(value, dict) else value
    return document


# --- the shelf of tables -------------------------------------------------------------------------------------------

COLUMNS = {"ann": ["age", "income"], "bob": ["weight", "pulse"], "cat": ["height", "steps"]}
SCHEMA = {
    "age": {"type": "real", "low": 0, "high": 130},
    "income": {"type": "real", "low": -1e6, "high": 1e6},
    "weight": {"type": "real", "low": 0, "high": 500},
    "pulse": {"type": "integer", "low": 0, "high": 300},
    "height": {"type": "real", "low": 0, "high": 3},
    "steps": {"type": "integer", "low": 0},
    "outcome": {"type": "boolean"},
}


def people():
    """Forty rows, as texts; the outcome follows from age and weight."""
    draw = random.Random(7)
    rows = []
    for number in range(PEOPLE):
        age, weight = draw.uniform(20, 80), draw.uniform(50, 110)
        rows.append(
            {
                "id": f"p{number:03d}",
                "age": f"{age:.2f}",
                "income": f"{draw.gauss(30000, 9000):.2f}",
                "weight": f"{weight:.2f}",
                "pulse": str(draw.randint(50, 110)),
                "height": f"{draw.uniform(1.5, 2):.2f}",
                "steps": str(draw.randint(500, 12000)),
                "outcome": str(int(age + weight > 130)),
            }
        )
    return rows


def write_csv(path, rows):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue())
    return path


def changed(rows, number, **cells):
    """The rows with some cells of row ``number`` (from 1) replaced."""
    return [{**row, **cells} if place == number else row for place, row in enumerate(rows, 1)]


def shelf(directory):
    """Every table of the party config: name -> section. Files are written here; `missing` has none on purpose."""
    rows = people()
    permuted = random.Random(11).sample(rows, len(rows))
    files = {
        "people": rows,
        "permuted": permuted,
        "short": rows[:-3],
        "doubled": changed(rows, 9, id=rows[1]["id"]),
        "strangers": changed(rows, 5, id="p999"),
        "out_of_bounds": changed(rows, 17, age=SECRET, weight=SECRET),
        "not_a_number": changed(rows, 4, age="nan"),
        "infinite": changed(changed(rows, 4, age="inf"), 6, age="-inf"),
        "words": changed(rows, 21, age=f"about {SECRET}"),
        "blank": changed(rows, 12, age=""),
        "ragged": rows,
    }
    sections = {}
    for name, content in files.items():
        source = write_csv(directory / f"{name}.csv", content)
        sections[name] = {"source": str(source), "id": "id", "columns": SCHEMA}
    with (directory / "ragged.csv").open("a") as file:
        file.write("p998,1\n")
    for name, source in (("as_filed", "people"), ("permuted_as_filed", "permuted")):
        sections[name] = {**sections[source], "align": "file_order"}
    missing = {"source": str(directory / "nowhere.csv"), "id": "id", "columns": SCHEMA}
    return {**sections, "missing": missing, "partly_offered": missing, "not_offered": missing}


# --- the federation ------------------------------------------------------------------------------------------------


@dataclass
class Federation:
    """Running daemons. Party `ann` pins bob rightly and cat wrongly; `bob` pins ann only; `cat` pins both rightly."""

    directory: Path
    coordinator: str = ""
    neutral_server: str = ""
    processes: dict = field(default_factory=dict)

    @property
    def certs(self):
        return self.directory / "certs"

    def log(self, name):
        return self.directory / name / "log"

    def config(self, name):
        return self.directory / name / "config.toml"

    def logs(self):
        """All that the daemons wrote, config and certificates excepted: logs, events, state."""
        return b"".join(
            path.read_bytes()
            for path in sorted(self.directory.rglob("*"))
            if path.is_file() and path.suffix not in (".csv", ".pem", ".key") and path.name != "config.toml"
        )

    def plan(self, *parties, **changes):
        number = len(list(self.directory.glob("plan-*.toml")))
        return write_config(self.directory / f"plan-{number}.toml", plan_document(*parties, **changes))

    def run(self, *parties, **changes):
        """`tertium run PLAN --coordinator …`, to its end."""
        return self.tertium("run", self.plan(*parties, **changes))

    def tertium(self, *arguments, **options):
        arguments = [*arguments, "--coordinator", self.coordinator, "--certs", self.certs]
        if arguments[0] == "run":
            arguments += ["--runs", self.directory / "fetched"]
        return outcome_of(start(*arguments, cwd=self.directory, **options))

    def client(self):
        return OperatorClient(self.coordinator, self.certs)

    def runs(self):
        return sorted(path.name for path in (self.directory / "coordinator" / "runs").iterdir())

    def start(self):
        names = ("ann", "bob", "cat")
        certificates(self.certs, *names)
        tables = shelf(self.directory)
        server, coordinator = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self.coordinator, self.neutral_server = coordinator, server
        write_config(
            self.config("neutral-server"),
            {"listen": server, "state_directory": "state", "tls": tls("neutral-server", self.certs)},
        )
        write_config(
            self.config("coordinator"),
            {
                "listen": coordinator,
                "neutral_server": {"address": server},
                "runs_directory": "runs",
                "tls": tls("coordinator", self.certs),
                "wait_seconds": ATTEND_SECONDS,
            },
        )
        right = {name: pin(self.certs, name) for name in names}
        pins = {
            "ann": {"bob": right["bob"], "cat": right["bob"]},
            "bob": {"ann": right["ann"]},
            "cat": {"ann": right["ann"], "bob": right["bob"]},
        }
        for name in names:
            offered = {table: [*COLUMNS[name], "outcome"] for table in tables if table != "not_offered"}
            write_config(
                self.config(name),
                {
                    "name": name,
                    "coordinator": {"address": coordinator, "name": "coordinator"},
                    "neutral_server": {"address": server, "name": "neutral-server"},
                    "state_directory": "state",
                    "tls": tls(name, self.certs),
                    "tables": tables,
                    "policy": {
                        "peers": pins[name],
                        "columns": {**offered, "partly_offered": [COLUMNS[name][0], "outcome"]},
                    },
                },
            )
        for role in ("neutral-server", "coordinator"):
            self._serve(role, role)
        for name in names:
            self._serve("party", name)
        with ExitStack() as stack:
            client = self.client()
            stack.callback(client.close)
            client.wait_ready(READY_SECONDS)

            def ready():
                status = client.status()
                return set(names) <= set(status.attending) and status.neutral_server

            wait_until(ready, READY_SECONDS, "attending parties")

    def _serve(self, role, name):
        self.processes[name] = start(role, "serve", self.config(name), cwd=self.directory, log=self.log(name))

    def stop(self):
        return stop(self.processes)


@pytest.fixture(scope="session")
def federation(tmp_path_factory):
    """Shared by every file here: the tests leave it as they found it."""
    running = Federation(tmp_path_factory.mktemp("federation"))
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture
def tertium(tmp_path):
    """``tertium(*arguments)``: a command in an empty directory, to its end."""
    return lambda *arguments, seconds=COMMAND_SECONDS: outcome_of(start(*arguments, cwd=tmp_path), seconds)


@pytest.fixture
def spawn(tmp_path):
    """``spawn(*arguments)``: a process that ends with the test."""
    processes = {}

    def spawned(*arguments, cwd=tmp_path):
        process = start(*arguments, cwd=cwd)
        processes[process.pid] = process
        return process

    yield spawned
    stop(processes)
    for process in processes.values():
        for pipe in (process.stdout, process.stderr):
            pipe.close()
