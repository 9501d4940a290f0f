"""Links with a rate: every party's access to the coordinator and the neutral server, slowed to what a plan is measured at.

A party has one access link. Its rate holds for each direction apart, for everything that party sends or receives
together; the coordinator's and the neutral server's side is not limited beyond that.
"""

import socket
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from coordinator.local.links.namespaces import Namespaces, delay_obstacle, namespace_obstacle
from coordinator.local.links.placement import Placement
from coordinator.local.links.relay import RelayLinks
from kernel.errors import BadInputError, SettingsError

Shaping = Literal["auto", "namespaces", "relay"]
MAX_DELAY_MS = 1000.0


class ShapedLinks(Placement, AbstractContextManager["ShapedLinks"], Protocol):
    """A placement whose links can be set; leaving the context removes all that was made for it."""

    @property
    def kind(self) -> str:
        """``namespaces`` or ``relay``."""

    def set_rate(self, rate_mbps: float | None) -> None:
        """From now on every party's link lets this much through in each direction; None: no limit."""

    def connect(self, party: str) -> tuple[socket.socket, socket.socket]:
        """A plain TCP connection through the party's link: (the party's end, the other end). The caller closes both."""


@dataclass(frozen=True)
class ChosenLinks:
    """Links, and why they are not the better ones (empty where they are what was asked for)."""

    links: ShapedLinks
    reason: str = ""


def choose_links(shaping: str, parties: Sequence[str], *, delay_ms: float = 0.0) -> ChosenLinks:
    """Namespaces where this machine can make them, else the relay; nothing is made before the context is entered.

    Args:
      delay_ms: added to every packet, each way.

    Raises:
      SettingsError: an unknown kind, a delay that cannot be. BadInputError: ``namespaces`` was asked for and cannot be had.
    """
    if shaping not in get_args(Shaping):
        raise SettingsError(f"there is no shaping {shaping!r}; wanted {', '.join(get_args(Shaping))}")
    if not 0 <= delay_ms <= MAX_DELAY_MS:
        raise SettingsError(f"the delay is {delay_ms:g} ms; wanted 0 to {MAX_DELAY_MS:g}")
    if shaping == "relay":
        return ChosenLinks(RelayLinks(parties, delay_ms=delay_ms))
    obstacle = namespace_obstacle() or (delay_obstacle() if delay_ms else "")
    if not obstacle:
        return ChosenLinks(Namespaces(parties, delay_ms=delay_ms))
    if shaping == "namespaces":
        raise BadInputError(f"links cannot be shaped by network namespaces: {obstacle}; use --shaping relay")
    return ChosenLinks(RelayLinks(parties, delay_ms=delay_ms), obstacle)
