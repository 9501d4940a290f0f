"""The rounds of one epoch of a privGAN run: which is due from whom, what came for it and what was answered.

Groups are streams of rounds of their own: who has fewer steps with one group goes on to the next while others are still at it.
A party sends for its next round when its last one is answered, never earlier; so at most one round a party is open.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from kernel.errors import StepError
from kernel.gan.schedule import Group, Round, rounds
from kernel.wire.tensor_frame import TensorFrame
from neutral_server.reconstruction import Contributions
from protos.v1 import common_pb2, gan_training_pb2

ServerFrame = TensorFrame[gan_training_pb2.GanServerFrame]


@dataclass(frozen=True)
class Exchange:
    """A round of a group; ``step`` is its last one, under which it is sent for and answered."""

    group: int
    round: Round

    @property
    def step(self) -> int:
        return self.round.stop - 1

    @property
    def place(self) -> str:
        return f"step {self.step} of group {self.group}"


@dataclass
class OpenRound:
    """What came for a round, by party, and what each was answered: a repeat gets the same answer."""

    exchange: Exchange
    contributions: Contributions
    answers: dict[str, ServerFrame] = field(default_factory=dict)


class Exchanges:
    """All rounds of an epoch, the same in every epoch, and each party's own."""

    def __init__(self, parties: Sequence[str], groups: Sequence[Group], steps_per_round: int) -> None:
        self.all = [
            Exchange(number, one) for number, group in enumerate(groups) for one in rounds(group, steps_per_round)
        ]
        self.of = {
            party: [one for one in self.all if place in one.round.participants] for place, party in enumerate(parties)
        }


class OpenEpoch:
    """Every frame is held to it.

    Args:
      collect: makes what collects the contributions of some parties.
    """

    def __init__(
        self,
        epoch: int,
        parties: Sequence[str],
        exchanges: Exchanges,
        collect: Callable[[Iterable[str]], Contributions],
    ) -> None:
        self.epoch = epoch
        self._parties, self._exchanges, self._collect = parties, exchanges, collect
        self._left = len(exchanges.all)
        self._answered = dict.fromkeys(parties, 0)
        self._open: dict[Exchange, OpenRound] = {}
        self._last: dict[str, OpenRound] = {}

    @property
    def complete(self) -> bool:
        return self._left == 0

    def take(self, party: str, header: common_pb2.StepHeader, group: int) -> OpenRound:
        """The round a party's frame is for: its next one, or its last one again.

        Raises:
          StepError: another epoch or purpose; a step the party does not take, that is over or not yet due, that ends no round.
        """
        if (header.epoch, header.purpose, header.micro_batch) != (self.epoch, common_pb2.PURPOSE_TRAIN, 0):
            raise StepError(
                f"{party!r} sent epoch {header.epoch} purpose {header.purpose} micro-batch {header.micro_batch}; "
                f"open is epoch {self.epoch} training, in one piece"
            )
        last = self._last.get(party)
        if last is not None and (last.exchange.group, last.exchange.step) == (group, header.step):
            return last
        due = self._due(party)
        if due is None or (due.group, due.step) != (group, header.step):
            wanted = "nothing more in this epoch" if due is None else due.place
            raise StepError(f"{party!r} sent step {header.step} of group {group}; due from it is {wanted}")
        if due not in self._open:
            self._open[due] = OpenRound(due, self._collect([self._parties[place] for place in due.round.participants]))
        return self._open[due]

    def end(self, finished: OpenRound) -> None:
        """A round was answered; it stays with each party, for a repeat, until that party's next one is."""
        del self._open[finished.exchange]
        self._left -= 1
        for place in finished.exchange.round.participants:
            self._answered[self._parties[place]] += 1
            self._last[self._parties[place]] = finished

    def waits(self) -> list[tuple[set[str], set[str]]]:
        """Of each open round: who has sent for it, and for whom they wait: not for one that itself waits in another round."""
        opened = [one.contributions for one in self._open.values()]
        sent = {name for one in opened for name in one.received}
        return [(set(one.received), set(one.missing) - sent) for one in opened]

    def waiting(self) -> str:
        """For whom the epoch waits, in words."""
        if not self._open:
            return f"epoch {self.epoch}, before anybody sent for its next step"
        return f"epoch {self.epoch}, which waits for " + " and ".join(
            f"{', '.join(map(repr, one.contributions.missing))} in {one.exchange.place}" for one in self._open.values()
        )

    def _due(self, party: str) -> Exchange | None:
        mine, answered = self._exchanges.of[party], self._answered[party]
        return mine[answered] if answered < len(mine) else None
