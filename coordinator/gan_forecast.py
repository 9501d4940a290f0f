"""What a plan of GANs will cost on each link, from the sizes of the very messages it will send.

Counts what the meter counts, on the links parties dial. Orders and reports to the coordinator, synthetic rows for previews and
evaluation among them, are left out.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from coordinator.message_sizes import RUN_NAME, SERVER, LinkForecast, float_shape, framed, ring_shape, step_header
from kernel.gan.nets import discriminator_shapes, parameters
from kernel.gan.schedule import Group, rounds
from kernel.gan.spec import ImageShape, SharedSpec, gan_spec
from protos.v1 import common_pb2, gan_training_pb2, plan_pb2


@dataclass(frozen=True)
class GanForecast(LinkForecast):
    """Of a run of GANs; no links where nothing is shared.

    Attributes:
      epoch_bytes: of an epoch in which generators pay, or where none does, of one in which the shared discriminator learns.
      warm_up_bytes: of an epoch in which it learns and nobody pays.
      paying_epochs, warm_up_epochs: of the run; the others send nothing.
    """

    warm_up_bytes: dict[str, int]
    epochs: int
    paying_epochs: int
    warm_up_epochs: int

    def run_bytes(self, link: str) -> int:
        """All epochs and the set-up."""
        trained = self.paying_epochs * self.epoch_bytes.get(link, 0) + self.warm_up_epochs * self.warm_up_bytes.get(
            link, 0
        )
        return trained + self.set_up_bytes.get(link, 0)

    def as_event(self) -> dict[str, Any]:
        return {
            "bytes": self.epoch_bytes,
            "relayed_bytes": {},
            "set_up_bytes": self.set_up_bytes,
            "rounds": self.rounds,
            "warm_up_bytes": self.warm_up_bytes,
            "paying_epochs": self.paying_epochs,
            "warm_up_epochs": self.warm_up_epochs,
        }


def forecast_gans(
    plan: plan_pb2.RunPlan, groups: Sequence[Group], columns: int, image: ImageShape | None, *, run: str = RUN_NAME
) -> GanForecast:
    """The forecast for a plan of job privgan or gan.

    Args:
      groups: the schedule; columns, image: of every party's rows; run: the id, which stands in every header.

    Raises:
      SettingsError: rows the nets cannot take.
    """
    spec, names = gan_spec(plan), [party.name for party in plan.parties]
    shared = spec.shared
    if shared is None:
        return GanForecast({}, {}, 0, {}, plan.epochs, 0, 0)
    found = [rounds(group, shared.steps_per_round) for group in groups]
    paying: Counter[str] = Counter()
    warm_up: Counter[str] = Counter()
    set_up: Counter[str] = Counter()
    sizes = _Sizes(run, shared, plan.batch_rows, columns, image, len(names))
    for name in names:
        set_up[f"{name}>{SERVER}"] += sizes.join(name)
        set_up[f"{SERVER}>{name}"] += sizes.joined()
    for number, (group, its_rounds) in enumerate(zip(groups, found, strict=True)):
        models = len(group.classes)
        members = [name for name, steps in zip(names, group.steps, strict=True) if steps > 0]
        if shared.mode == "updates":
            for name in members:
                set_up[f"{SERVER}>{name}"] += sizes.weights(number, models, 0)
        for one in its_rounds:
            step = one.stop - 1
            for name in (names[place] for place in one.participants):
                up = sizes.update if shared.mode == "updates" else sizes.fakes
                for epoch in (paying, warm_up):
                    epoch[f"{name}>{SERVER}"] += up(name, number, models, step)
                if shared.mode == "fakes":
                    paying[f"{SERVER}>{name}"] += sizes.gradient(number, models, step)
                    warm_up[f"{SERVER}>{name}"] += sizes.done(number, step)
            if shared.mode == "updates":
                for name in members:
                    for epoch in (paying, warm_up):
                        epoch[f"{SERVER}>{name}"] += sizes.weights(number, models, step)
    pays = sum(shared.pays(epoch) for epoch in range(1, plan.epochs + 1))
    learns = sum(shared.learns(epoch) for epoch in range(1, plan.epochs + 1))
    return GanForecast(
        epoch_bytes=dict(sorted((paying if pays else warm_up).items())),
        set_up_bytes=dict(sorted(set_up.items())),
        rounds=max(sum(place in one.participants for its in found for one in its) for place in range(len(names))),
        warm_up_bytes=dict(sorted(warm_up.items())),
        epochs=plan.epochs,
        paying_epochs=pays,
        warm_up_epochs=learns - pays,
    )


@dataclass(frozen=True)
class _Sizes:
    """Bytes on the wire of each message of a privGAN run."""

    run: str
    shared: SharedSpec
    batch_rows: int
    columns: int
    image: ImageShape | None
    parties: int

    def join(self, name: str) -> int:
        frame = gan_training_pb2.GanPartyFrame(header=self._set_up(name), join=gan_training_pb2.JoinGan())
        return framed(frame, 0)

    def joined(self) -> int:
        frame = gan_training_pb2.GanServerFrame(header=self._set_up(SERVER), joined=gan_training_pb2.GanJoined())
        return framed(frame, 0)

    def fakes(self, name: str, group: int, models: int, step: int) -> int:
        frame = gan_training_pb2.GanPartyFrame(
            header=step_header(name, self.run, step=step), group=group, fakes=self._rows(models)
        )
        return framed(frame, 4 * models * self.batch_rows * self.columns)

    def gradient(self, group: int, models: int, step: int) -> int:
        frame = gan_training_pb2.GanServerFrame(
            header=step_header(SERVER, self.run, step=step), group=group, origin_gradient=self._rows(models)
        )
        return framed(frame, 4 * models * self.batch_rows * self.columns)

    def done(self, group: int, step: int) -> int:
        frame = gan_training_pb2.GanServerFrame(
            header=step_header(SERVER, self.run, step=step), group=group, step_done=gan_training_pb2.GanStepDone()
        )
        return framed(frame, 0)

    def update(self, name: str, group: int, models: int, step: int) -> int:
        words = ring_shape(self.shared.ring, models, self._parameters)
        frame = gan_training_pb2.GanPartyFrame(header=step_header(name, self.run, step=step), group=group, update=words)
        return framed(frame, models * self._parameters * self.shared.ring.ring_bits // 8)

    def weights(self, group: int, models: int, step: int) -> int:
        frame = gan_training_pb2.GanServerFrame(
            header=step_header(SERVER, self.run, step=step),
            group=group,
            shared_weights=float_shape(models, self._parameters),
        )
        return framed(frame, 4 * models * self._parameters)

    @property
    def _parameters(self) -> int:
        return parameters(discriminator_shapes(self.shared.net, self.columns, self.image, self.parties))

    def _rows(self, models: int) -> common_pb2.Tensor:
        return float_shape(models, self.batch_rows, self.columns)

    def _set_up(self, sender: str) -> common_pb2.StepHeader:
        return common_pb2.StepHeader(run=self.run, generation=1, purpose=common_pb2.PURPOSE_SET_UP, sender=sender)
