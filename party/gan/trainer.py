"""A party's epoch of GAN training: group by group, step by step, exchanged or alone.

An exchanged step, numbered as in docs/architecture.md ("A GAN step"):
 [1] latent noise and real rows of the step; the generators make fakes
 [2] fakes, or what the copy says of them, go to the neutral server (exchange.py); while it works,
 [3] the discriminators move on real rows and fakes
 [4] the generators move: against the discriminators as they are now, and where they pay, along the origin gradient
A step that nobody shares is one compiled call. Models of one group know nothing of another's, so an epoch takes the exchanged
steps of all groups first and its own after them: a party with few rows does not wait for what another does alone.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import TertiumError
from kernel.gan.schedule import Group, drawn_rows, latent_noise
from kernel.gan.spec import GanSpec
from kernel.phases import PhaseClock
from party.gan.exchange import Exchange
from party.gan.local_gan import LocalGan
from party.gan.rows import ByClass, Rows
from protos.v1 import common_pb2

PROGRESS_SECONDS = 0.5
OnProgress = Callable[[int, int, float, int], None]
"""(steps done, steps, mean generator loss so far, rows done)"""


@dataclass
class EpochLosses:
    """Sums per net, group and model over an epoch's steps, each checked to be finite.

    Attributes:
      me, groups, epoch: for error messages.
    """

    me: str
    groups: Sequence[Group]
    epoch: int
    _sums: dict[tuple[str, int], NDArray[np.float64]] = field(default_factory=dict)
    _steps: dict[tuple[str, int], int] = field(default_factory=dict)

    def add(self, net: str, group: int, step: int, losses: NDArray[np.float64]) -> None:
        """Losses of a step, float64[models].

        Raises:
          TertiumError: one is not finite; names net, class, party, epoch and step.
        """
        self.check(net, group, step, losses)
        self._sums[net, group] = self._sums.get((net, group), 0.0) + losses
        self._steps[net, group] = self._steps.get((net, group), 0) + 1

    def check(self, net: str, group: int, step: int, found: NDArray[Any], what: str = "the loss") -> None:
        """Numbers of a step, float[models, …], which are not added to any sum.

        Raises:
          TertiumError: one is not finite; names ``what`` it is, net, class, party, epoch and step.
        """
        finite = np.isfinite(found).reshape(len(found), -1).all(axis=1)
        if not finite.all():
            label = self.groups[group].classes[int(np.flatnonzero(~finite)[0])]
            raise TertiumError(
                f"{what} of the {net} of class {label} at {self.me!r} is not finite at epoch {self.epoch}, step {step}; lower "
                "nets.learning_rate; resume starts from the last barrier"
            )

    def mean(self, net: str) -> float:
        """Over steps and models; 0 where there were none."""
        steps = sum(len(self._sums[key]) * self._steps[key] for key in self._sums if key[0] == net)
        return sum(float(total.sum()) for key, total in self._sums.items() if key[0] == net) / max(1, steps)

    def messages(self) -> list[common_pb2.NetLoss]:
        return [
            common_pb2.NetLoss(net=net, group=group, model=model, loss=float(total) / self._steps[net, group])
            for (net, group), totals in self._sums.items()
            for model, total in enumerate(totals)
        ]


class GanTrainer:
    """The nets of a party's groups, its rows, and what moves them.

    Args:
      own: the party's place in the plan; nets: per group in which this party takes steps; exchange: privgan only.
    """

    def __init__(
        self,
        me: str,
        own: int,
        spec: GanSpec,
        groups: Sequence[Group],
        nets: Mapping[int, LocalGan],
        rows: ByClass,
        exchange: Exchange | None,
        phases: PhaseClock,
    ) -> None:
        self._me, self._own, self._spec = me, own, spec
        self._groups, self._nets, self._rows, self._exchange = groups, nets, rows, exchange
        self.phases = phases
        self.losses = EpochLosses(me, groups, 0)

    @property
    def steps(self) -> int:
        """This party's, an epoch."""
        return sum(group.steps[self._own] for group in self._groups)

    def train(self, epoch: int, seed: int, progress: OnProgress) -> int:
        """One epoch, all of whose draws follow from ``seed``; returns the rows drawn. Its losses are in ``losses``.

        Raises:
          TertiumError: a loss, or a fake that others would be sent, is not finite.
        """
        self.phases.start()
        self.losses = EpochLosses(self._me, self._groups, epoch)
        shared = self._spec.shared
        exchange = self._exchange if shared is not None and shared.learns(epoch) else None
        pays = shared is not None and shared.pays(epoch)
        if exchange is not None:
            exchange.open_epoch(epoch, seed)
        rows, last_report = 0, time.monotonic()
        for done, (number, step, together) in enumerate(self._order(exchange is not None), start=1):
            if exchange is not None and together:
                self._exchanged_step(exchange, number, step, seed, pays=pays)
            else:
                self._own_step(number, step, seed)
            rows += self._nets[number].models * self._spec.batch_rows
            if time.monotonic() - last_report >= PROGRESS_SECONDS:
                last_report = time.monotonic()
                progress(done, self.steps, self.losses.mean("generator"), rows)
        if exchange is not None:
            exchange.close_epoch()
        return rows

    def _order(self, exchanging: bool) -> Iterator[tuple[int, int, bool]]:
        """(group, step, whether it is exchanged) of this party's steps, exchanged ones first."""
        alone = []
        for number, group in enumerate(self._groups):
            together = min(group.steps[self._own], group.exchanged()) if exchanging else 0
            yield from ((number, step, True) for step in range(together))
            alone += [(number, step, False) for step in range(together, group.steps[self._own])]
        yield from alone

    def _draws(self, number: int, step: int, seed: int) -> tuple[Rows, Rows]:
        """Latent noise float32[models, batch, latent] and real rows float32[models, batch, columns]."""
        classes, batch = self._groups[number].classes, self._spec.batch_rows
        latent = np.stack([latent_noise(seed, label, step, batch, self._spec.latent) for label in classes])
        real = np.stack(
            [
                self._rows[label][drawn_rows(seed, label, step, self._own, len(self._rows[label]), batch)]
                for label in classes
            ]
        )
        self.phases.mark("latent and rows")
        return latent, real

    def _own_step(self, number: int, step: int, seed: int) -> None:
        latent, real = self._draws(number, step, seed)
        generator, discriminator = self._nets[number].step(latent, real)
        self._add(number, step, generator, discriminator)
        self.phases.mark("own step")

    def _exchanged_step(self, exchange: Exchange, number: int, step: int, seed: int, *, pays: bool) -> None:
        shared, nets = self._spec.shared, self._nets[number]
        latent, real = self._draws(number, step, seed)
        fakes = nets.make_fakes(latent)  # [1]
        self.losses.check("generator", number, step, fakes, "an output")  # nobody is sent what is no number
        self.phases.mark("make fakes")
        exchange.send(number, step, fakes)  # [2]
        discriminator = nets.step_discriminator(real, fakes)  # [3]
        self.phases.mark("discriminator")
        gradient = None
        if shared is not None and pays:
            gradient = exchange.origin_gradient(fakes) * np.float32(shared.weight)
        generator = nets.step_generator(latent, gradient)  # [4]
        self._add(number, step, generator, discriminator)
        self.phases.mark("generator")

    def _add(self, number: int, step: int, generator: NDArray[np.float64], discriminator: NDArray[np.float64]) -> None:
        self.losses.add("discriminator", number, step, discriminator)
        self.losses.add("generator", number, step, generator)
