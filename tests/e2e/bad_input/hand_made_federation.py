"""A federation as its users set it up: configs by hand, one process a role, the command line to talk to it.

A plan chooses which table each party brings, so that one federation, started once, meets every case.
"""

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w
from command_line import Outcome, Process, outcome_of, start, stop, wait_until
from shelf_of_tables import COLUMNS, shelf

from coordinator.certificate_authority import CertificateAuthority, write_issued
from coordinator.cli.operator_client import OperatorClient
from coordinator.local.links.placement import free_port
from kernel.wire.identity import Identity, Peer, fingerprint, load_certificate

READY_SECONDS = 90.0
ATTEND_SECONDS = 6.0
"""The coordinator's wait_seconds: how long it waits for a party that does not come."""
REFUSED_TABLES = ("partly_offered", "not_offered")
"""Their file is missing: whoever reads before it refuses is found out."""

Document = dict[str, Any]


def make_certificates(directory: Path, *parties: str) -> CertificateAuthority:
    """An authority and a certificate for every role, as `tertium certs init` leaves them."""
    authority = CertificateAuthority.create()
    authority.save(directory)
    for peer in (
        *(Peer(role, role) for role in ("coordinator", "neutral-server", "operator")),
        *(Peer("party", party) for party in parties),
    ):
        write_issued(directory, peer.name, authority.issue(peer))
    return authority


def pin_of(certs: Path, name: str) -> str:
    return fingerprint(load_certificate((certs / f"{name}.pem").read_bytes(), name))


def identity_of(certs: Path, name: str) -> Identity:
    return Identity.from_pem(*((certs / file).read_bytes() for file in (f"{name}.pem", f"{name}.key", "authority.pem")))


def tls(certs: Path, name: str) -> Document:
    return {
        "certificate": str(certs / f"{name}.pem"),
        "key": str(certs / f"{name}.key"),
        "authority": str(certs / "authority.pem"),
    }


def write_toml(path: Path, document: Document) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tomli_w.dumps(document))
    return path


def server_config(certs: Path, listen: str) -> Document:
    return {"listen": listen, "state_directory": "state", "tls": tls(certs, "neutral-server")}


def coordinator_config(certs: Path, listen: str, server: str) -> Document:
    return {
        "listen": listen,
        "neutral_server": {"address": server},
        "runs_directory": "runs",
        "tls": tls(certs, "coordinator"),
        "wait_seconds": ATTEND_SECONDS,
    }


def party_config(
    certs: Path, name: str, coordinator: str, server: str, tables: Document, policy: Document, **changes: Any
) -> Document:
    return {
        "name": name,
        "coordinator": {"address": coordinator, "name": "coordinator"},
        "neutral_server": {"address": server, "name": "neutral-server"},
        "state_directory": "state",
        "tls": tls(certs, name),
        "tables": tables,
        "policy": {"labels": policy["columns"], **policy} if "columns" in policy else policy,
        **changes,
    }


def plan_document(*parties: tuple[str, str], **changes: Any) -> Document:
    """A small plan over (party, table) pairs, the last with the label; tables in ``changes`` are merged."""
    document: Document = {
        "name": "trial",
        "seed": 3,
        "epochs": 2,
        "batch_rows": 16,
        "test_fraction": 0.25,
        "network": {"widths": [4, 4], "activations": ["sigmoid", "sigmoid"]},
        "optimizer": {"name": "adam", "learning_rate": 0.05},
        "parties": [{"name": name, "table": table, "columns": COLUMNS.get(name, ["age"])} for name, table in parties],
    }
    document["parties"][-1]["label"] = "outcome"
    for key, value in changes.items():
        document[key] = {**document.get(key, {}), **value} if isinstance(value, dict) else value
    return document


@dataclass
class Federation:
    """Running daemons. Party `ann` pins bob rightly and cat wrongly, `bob` pins ann only, `cat` pins both rightly.

    ``documents`` are their configs.
    """

    directory: Path
    coordinator: str = ""
    neutral_server: str = ""
    documents: dict[str, Document] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)
    _plans: int = 0

    @property
    def certs(self) -> Path:
        return self.directory / "certs"

    def config(self, name: str) -> Path:
        return self.directory / name / "config.toml"

    def written(self) -> bytes:
        """All that the daemons and the command left behind: logs, events, state, fetched runs; not what we gave them."""
        ours = {".csv", ".pem", ".key"}
        files = (path for path in sorted(self.directory.rglob("*")) if path.is_file() and path.suffix not in ours)
        return b"".join(path.read_bytes() for path in files)

    def write_plan(self, *parties: tuple[str, str], **changes: Any) -> Path:
        self._plans += 1
        return write_toml(self.directory / f"plan-{self._plans}.toml", plan_document(*parties, **changes))

    def run(self, *parties: tuple[str, str], **changes: Any) -> Outcome:
        """`tertium run PLAN --coordinator …`, to its end."""
        return self.tertium("run", self.write_plan(*parties, **changes))

    def tertium(self, *arguments: object) -> Outcome:
        """A `run` or `predict` with this coordinator, to its end."""
        more: list[object] = ["--coordinator", self.coordinator, "--certs", self.certs]
        more += ["--runs", self.directory / "fetched"] if arguments[0] == "run" else []
        return outcome_of(start(*arguments, *more, cwd=self.directory))

    def client(self) -> OperatorClient:
        return OperatorClient(self.coordinator, self.certs)

    def runs(self) -> list[str]:
        """Run ids at the coordinator, oldest first."""
        directories = (self.directory / "coordinator" / "runs").glob("*")
        return [path.name for path in sorted(directories, key=lambda path: path.stat().st_ctime_ns)]

    def start(self) -> None:
        names = ("ann", "bob", "cat")
        make_certificates(self.certs, *names)
        self.coordinator, self.neutral_server = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self.documents["neutral-server"] = server_config(self.certs, self.neutral_server)
        self.documents["coordinator"] = coordinator_config(self.certs, self.coordinator, self.neutral_server)
        self.documents |= {name: self._party(name) for name in names}
        for name, document in self.documents.items():
            write_toml(self.config(name), document)
        for role, name in (
            ("neutral-server", "neutral-server"),
            ("coordinator", "coordinator"),
            *(("party", name) for name in names),
        ):
            self.processes[name] = start(
                role, "serve", self.config(name), cwd=self.directory, log=self.directory / name / "log"
            )
        with ExitStack() as stack:
            client = self.client()
            stack.callback(client.close)
            client.wait_ready(READY_SECONDS)

            def ready() -> bool:
                status = client.status()
                return set(names) <= set(status.attending) and bool(status.neutral_server)

            wait_until(ready, "attending parties", READY_SECONDS)

    def stop(self) -> None:
        stop(self.processes)

    def _party(self, name: str) -> Document:
        right = {one: pin_of(self.certs, one) for one in COLUMNS}
        peers = {
            "ann": {"bob": right["bob"], "cat": right["bob"]},
            "bob": {"ann": right["ann"]},
            "cat": {"ann": right["ann"], "bob": right["bob"]},
        }
        tables = shelf(self.directory)
        offered = {table: [*COLUMNS[name], "outcome"] for table in tables}
        offered["partly_offered"] = [COLUMNS[name][0], "outcome"]
        tables |= dict.fromkeys(REFUSED_TABLES, tables["missing"])
        policy = {"peers": peers[name], "columns": offered}
        return party_config(self.certs, name, self.coordinator, self.neutral_server, tables, policy)
