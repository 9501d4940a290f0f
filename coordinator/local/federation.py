"""All roles as child processes on loopback, with throwaway certificates: the embedded default of `run` and `demo`.

The same daemons, configs and code path as separate machines. Each role keeps its state below ``<run>/roles/<name>``, so
a later `predict` or `--resume` finds it. What differs from a real federation: one person starts everything, and the
first layer's initialisation keys follow from the plan's seed, so that an experiment can be repeated.
"""

import hashlib
import os
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import tomli_w

from coordinator.certificate_authority import (
    AUTHORITY_CERTIFICATE,
    CertificateAuthority,
    write_issued,
    write_key,
)
from coordinator.cli.operator_client import OperatorClient
from coordinator.gan_plan import GanPartyPlan, GanPlan
from coordinator.job_plan import JobPlan
from coordinator.local.links.placement import COORDINATOR, NEUTRAL_SERVER, OPERATOR, Loopback, Placement
from kernel.durable import write_durably
from kernel.errors import BadInputError, PeerError, PolicyError, TertiumError
from kernel.processor import cores
from kernel.secret.plan import without_server
from kernel.wire.identity import Peer, fingerprint, load_certificate
from kernel.wire.transcripts import TranscriptScope

_READY_SECONDS = 60.0
_STOP_SECONDS = 5.0
_END_SECONDS = 0.5
"""A process's connections are closed a moment before it counts as ended."""
PREDICT_TABLE = "predict-data"


class LocalFederation(AbstractContextManager["LocalFederation"]):
    """Child processes of one run; leaving the context ends them.

    Args:
      run_directory: ``runs/<id>``; roles live below it.
      plan: the run's plan; extra_tables: further tables every party declares (a prediction's rows).
      transcripts: evaluators only: every role records what it receives.
      transcript_scope: "training": parties and neutral server record the training stream, and nobody anything else.
      placement: where processes run and how they reach each other; loopback unless said otherwise.
    """

    def __init__(
        self,
        run_directory: Path,
        plan: JobPlan,
        *,
        extra_tables: dict[str, dict[str, Any]] | None = None,
        transcripts: Path | None = None,
        transcript_scope: TranscriptScope = "all",
        placement: Placement | None = None,
    ) -> None:
        self._placement: Placement = placement or Loopback()
        self._runs = run_directory.parent
        self.roles = run_directory / "roles"
        self._plan, self._extra_tables, self._transcripts = plan, extra_tables or {}, transcripts
        self._transcript_scope = transcript_scope
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._client: OperatorClient | None = None

    @property
    def client(self) -> OperatorClient:
        if self._client is None:
            raise TertiumError("the local federation was not started")
        return self._client

    def __enter__(self) -> "LocalFederation":
        with ExitStack() as undo:
            undo.callback(self.stop)
            self._start()
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def secrets_key(self) -> Path:
        """The coordinator's key for what the neutral server must not know."""
        return self.roles / "coordinator" / "secrets.key"

    def party_config(self, name: str) -> Path:
        return self.roles / name / "config.toml"

    def process_id(self, name: str) -> int:
        return self._children[name].pid

    def _start(self) -> None:
        names = [party.name for party in self._plan.parties]
        self._certificates(names)
        place, tls = self._placement, self._tls
        self._config(
            "neutral-server",
            {"listen": place.listen(NEUTRAL_SERVER), "state_directory": "state", "tls": tls("neutral-server")},
        )
        self._config(
            "coordinator",
            {
                "listen": place.listen(COORDINATOR),
                "neutral_server": {"address": place.address(NEUTRAL_SERVER, dialler=COORDINATOR)},
                "runs_directory": str(self._runs.resolve()),
                "secrets_key": "secrets.key",
                "tls": tls("coordinator"),
            },
        )
        for party in self._plan.parties:
            self._party(party.name, names)
        self._repeatable_key(self.secrets_key)
        for name in ("coordinator", *names) if self._serverless else ("neutral-server", "coordinator", *names):
            self.start_role(name)
        self._client = OperatorClient(place.address(COORDINATOR, dialler=OPERATOR), self.roles / "certs")
        self._wait_ready()

    def start_role(self, name: str) -> None:
        """Start one role's daemon (again)."""
        kind = name if name in ("neutral-server", "coordinator") else "party"
        log = (self.roles / name / "log").open("ab")
        self._children[name] = subprocess.Popen(
            [
                *self._placement.command(name),
                sys.executable,
                "-m",
                "coordinator.cli.main",
                kind,
                "serve",
                str(self.roles / name / "config.toml"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"NUMBA_NUM_THREADS": str(self._ring_threads), **os.environ},
        )
        log.close()

    @property
    def _ring_threads(self) -> int:
        """This machine's cores, shared out to those who multiply in the ring at the same time: parties and dealer."""
        return max(1, cores() // (len(self._plan.parties) + 1))

    def loss(self, resume: str) -> PeerError | None:
        """In words of a local run why the coordinator answers no more, and by which command the run goes on; None where it still runs."""
        child = self._children[COORDINATOR]
        try:
            code = child.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            return None
        how = f"was ended by signal {-code}" if code < 0 else f"stopped with exit code {code}"
        return PeerError(
            f"the coordinator of this local run {how}; its last words are in {self.roles / COORDINATOR / 'log'}. The run "
            f"goes on from its last barrier with {resume}"
        )

    def kill_role(self, name: str) -> None:
        """kill -9, for tests of resume."""
        self._children[name].send_signal(signal.SIGKILL)
        self._children[name].wait()

    def stop(self) -> None:
        """SIGTERM to every child, SIGKILL to what is left after some seconds."""
        if self._client is not None:
            self._client.close()
        for child in self._children.values():
            if child.poll() is None:
                child.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for child in self._children.values():
            try:
                child.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        wanted = {party.name for party in self._plan.parties}
        while not self._all_there(wanted):
            for name, child in self._children.items():
                if child.poll() is not None:
                    raise _child_error(name, child.returncode, self.roles / name / "log")
            if time.monotonic() > deadline:
                raise TertiumError(
                    f"the local roles did not come up within {_READY_SECONDS:g} s; look at {self.roles}/*/log"
                )
            time.sleep(0.05)  # the children's state is not ours to wait on

    def _all_there(self, wanted: set[str]) -> bool:
        try:
            status = self.client.status()
        except PeerError:
            return False  # the coordinator is not up yet
        return wanted <= set(status.attending) and (self._serverless or bool(status.neutral_server))

    @property
    def _serverless(self) -> bool:
        """The plan's parties compute all layers: nobody waits for a neutral server, and none is started."""
        return without_server(self._plan.message())

    def _certificates(self, names: list[str]) -> None:
        directory = self.roles / "certs"
        if (directory / AUTHORITY_CERTIFICATE).exists():
            return
        authority = CertificateAuthority.create()
        authority.save(directory)
        for peer in (
            Peer("coordinator", "coordinator"),
            Peer("neutral-server", "neutral-server"),
            Peer("operator", "operator"),
            *(Peer("party", name) for name in names),
        ):
            write_issued(directory, peer.name, authority.issue(peer))

    def _tls(self, name: str) -> dict[str, str]:
        return {
            "certificate": f"../certs/{name}.pem",
            "key": f"../certs/{name}.key",
            "authority": f"../certs/{AUTHORITY_CERTIFICATE}",
        }

    def _party(self, name: str, names: list[str]) -> None:
        party = next(one for one in self._plan.parties if one.name == name)
        address = self._placement.address
        declared = [party.table]
        if isinstance(party, GanPartyPlan) and party.holdout is not None:
            declared.append(party.holdout)
        tables = {**{table: local_table(self._plan, table) for table in declared}, **self._extra_tables}
        pins = {
            other: fingerprint(load_certificate((self.roles / "certs" / f"{other}.pem").read_bytes(), other))
            for other in names
            if other != name
        }
        self._config(
            name,
            {
                "coordinator": {"address": address(COORDINATOR, dialler=name), "name": "coordinator"},
                "neutral_server": {"address": address(NEUTRAL_SERVER, dialler=name), "name": "neutral-server"},
                "state_directory": "state",
                "tls": self._tls(name),
                "tables": tables,
                "policy": {
                    "peers": pins,
                    "columns": {table: list(party.columns) for table in tables},
                    "labels": {table: [party.label] for table in declared} if party.label else {},
                    **self._accepted(party.table),
                },
            },
        )
        self._repeatable_key(self.roles / name / "state" / "initialisation.key")

    def _accepted(self, table: str) -> dict[str, Any]:
        """What a policy must say yes to for this plan; one person owns all roles."""
        if isinstance(self._plan, GanPlan):
            return {"job_kinds": [self._plan.job], "synthetic_rows": [table]}
        return {"reveal_h1": self._plan.defender is not None}

    def _repeatable_key(self, path: Path) -> None:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_key(path, hashlib.sha256(f"tertium local {self._plan.seed}".encode()).digest())

    def _config(self, name: str, document: dict[str, Any]) -> None:
        whole = self._transcript_scope == "all"
        if self._transcripts is not None and (whole or name != COORDINATOR):
            document["transcript_directory"] = str(self._transcripts.resolve())
            if not whole:
                document["transcript_scope"] = self._transcript_scope
        write_durably(self.roles / name / "config.toml", tomli_w.dumps({"name": name, **document}).encode())


def local_table(plan: JobPlan, table: str) -> dict[str, Any]:
    """A party config's table section: the plan's own, with absolute paths, or the built-in table of that name."""
    if table not in plan.local.tables:
        return {"source": f"builtin:{table}"}
    section = dict(plan.local.tables[table])
    source = str(section.get("source", ""))
    if source and not source.startswith("builtin:"):
        section["source"] = str(Path(source).resolve())
    return section


def _child_error(name: str, code: int, log: Path) -> TertiumError:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    sentence = lines[-1].removeprefix("error: ") if lines else "it wrote no log"
    message = f"{name} stopped with exit code {code}: {sentence}"
    kinds = {kind.exit_code: kind for kind in (BadInputError, PeerError, PolicyError)}
    return kinds.get(code, TertiumError)(message)
