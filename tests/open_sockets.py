"""What a process listens on and has loaded, from /proc (Linux)."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

_LISTENS = "0A"
_ACCEPTS = 0x10000  # __SO_ACCEPTCON of a unix socket


@dataclass(frozen=True)
class ProcessView:
    """Of one moment.

    Attributes:
      ports: TCP ports it listens on, IPv4 and IPv6; udp: UDP ports bound; unix: inodes of listening unix sockets.
      sockets: how many sockets it has open at all.
      libraries: files mapped into its memory.
    """

    ports: frozenset[int]
    udp: frozenset[int]
    unix: frozenset[str]
    sockets: int
    libraries: frozenset[str]


def look_at(pid: int) -> ProcessView:
    process = Path(f"/proc/{pid}")
    inodes = set()
    for descriptor in (process / "fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            target = str(descriptor.readlink())
            if target.startswith("socket:["):
                inodes.add(target.removeprefix("socket:[").removesuffix("]"))
    net = process / "net"
    return ProcessView(
        ports=_ports(net, "tcp", inodes, _LISTENS),
        udp=_ports(net, "udp", inodes, ""),
        unix=frozenset(
            fields[6] for fields in _lines(net / "unix") if fields[6] in inodes and int(fields[3], 16) & _ACCEPTS
        ),
        sockets=len(inodes),
        libraries=frozenset(fields[5] for fields in _lines(process / "maps", skip=0) if len(fields) > 5),
    )


def _ports(net: Path, protocol: str, inodes: set[str], state: str) -> frozenset[int]:
    """Local ports of the process's sockets in a state; any state where it is empty."""
    tables = [net / protocol, net / f"{protocol}6"]
    return frozenset(
        int(fields[1].rpartition(":")[2], 16)
        for table in tables
        if table.exists()
        for fields in _lines(table)
        if fields[9] in inodes and state in ("", fields[3])
    )


def _lines(table: Path, skip: int = 1) -> list[list[str]]:
    return [line.split() for line in table.read_text().splitlines()[skip:]]
