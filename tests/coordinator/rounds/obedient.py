"""Parties and a neutral server that obey every order at once: what rounds order, to whom and when, can be read off."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from kernel.gan.synthetic_message import encode_synthetic
from kernel.plan_message import plan_hash
from protos.v1 import common_pb2, coordination_pb2, stack_control_pb2

Seen = list[tuple[str, str]]
"""(party, kind of order), or ("neutral-server", call)."""


class Parties:
    """In the place of a roster.

    Args:
      counts: party -> class -> (training rows, held-out rows); barriers: held by each; columns, image: of rows, all alike or by party.
    """

    def __init__(
        self,
        seen: Seen,
        counts: Mapping[str, Mapping[int, tuple[int, int]]],
        *,
        barriers: Mapping[str, list[int]] | None = None,
        columns: Mapping[str, int] | int = 4,
        image: Mapping[str, tuple[int, int]] | tuple[int, int] = (2, 2),
    ) -> None:
        self.seen, self.counts, self.barriers = seen, counts, barriers or {}
        self._columns, self._image = columns, image
        self.orders: list[tuple[str, coordination_pb2.PartyOrder]] = []
        self.aborted: list[str] = []
        self.asked: set[str] = set()
        self.classes: dict[str, list[int]] = {}
        self._models: dict[str, list[tuple[int, int]]] = {}

    def wait_for(self, names: Any, timeout_seconds: float) -> None:
        self.asked |= set(names)

    def versions(self) -> dict[str, str]:
        return dict.fromkeys(self.counts, "1")

    def abort(self, names: Any, sentence: str) -> None:
        self.aborted.append(sentence)

    def ask(
        self, orders: Mapping[str, coordination_pb2.PartyOrder], timeout_seconds: float, progress: Any = None
    ) -> Any:
        return {name: self._answer(name, order, progress) for name, order in orders.items()}

    def _answer(self, name: str, order: coordination_pb2.PartyOrder, progress: Any) -> coordination_pb2.PartyReport:
        kind = order.WhichOneof("kind")
        self.seen.append((name, kind))
        self.orders.append((name, order))
        report = coordination_pb2.PartyReport(run=order.run, generation=order.generation)
        if kind == "prepare":
            report.prepared.CopyFrom(self._prepared(name, order.prepare.plan))
        elif kind == "begin":
            place = sorted(self.counts).index(name)
            own = [(number, group) for number, group in enumerate(order.begin.groups) if group.steps[place]]
            self.classes[name] = [label for _, group in own for label in group.classes]
            self._models[name] = [(number, model) for number, group in own for model in range(len(group.classes))]
        elif kind == "train_epoch":
            if progress is not None:
                progress(name, coordination_pb2.Progress(epoch=order.train_epoch.epoch, step=1, steps=2, loss=0.5))
            report.epoch_done.CopyFrom(self._trained(name, order.train_epoch.epoch))
        elif kind == "synthesise":
            report.synthesised.rows.CopyFrom(self._made(name, order.synthesise))
        elif kind == "try_classifier":
            report.classifier_tried.accuracy.CopyFrom(
                common_pb2.ScoreValue(name="accuracy", value=0.75, low=0.5, high=0.9, rows=40)
            )
        elif kind == "attack_discriminators":
            found = report.discriminators_attacked
            for label in self.classes[name]:
                found.attacks.add(
                    label=label, members=20, non_members=60, accuracy=0.3, low=0.1, high=0.5, chance=0.25, auc=0.5
                )
                found.histograms.add(label=label, rows="train", counts=[1, 2])
                found.histograms.add(label=label, rows="holdout", counts=[3, 4])
        elif kind == "finish":
            report.finished.links.add(link=f"{name}>neutral-server", bytes=100, messages=1)
        return report

    def _prepared(self, name: str, plan: Any) -> coordination_pb2.Prepared:
        counts = self.counts[name]
        columns = self._columns if isinstance(self._columns, int) else self._columns[name]
        height, width = self._image if isinstance(self._image, tuple) else self._image[name]
        return coordination_pb2.Prepared(
            rows=sum(map(sum, counts.values())),
            train_rows=sum(train for train, _ in counts.values()),
            test_rows=sum(test for _, test in counts.values()),
            encoded_columns=columns,
            plan_hash=plan_hash(plan),
            barriers=self.barriers.get(name, []),
            classes=[
                coordination_pb2.ClassCount(label=label, train_rows=train, test_rows=test)
                for label, (train, test) in sorted(counts.items())
            ],
            image_height=height,
            image_width=width,
        )

    def _trained(self, name: str, epoch: int) -> coordination_pb2.EpochDone:
        return coordination_pb2.EpochDone(
            epoch=epoch,
            seconds=2.0 if name == "party-b" else 1.0,
            rows=64,
            rounds=3,
            links=[common_pb2.LinkUsage(link=f"{name}>neutral-server", bytes=10 * epoch, messages=1)],
            losses=[
                common_pb2.NetLoss(net="generator", group=group, model=model, loss=epoch + group + model)
                for group, model in self._models[name]
            ],
        )

    def _made(self, name: str, order: coordination_pb2.Synthesise) -> coordination_pb2.SyntheticRows:
        labels = np.repeat(np.array(list(order.classes) or self.classes[name], np.int64), order.rows_per_class)
        columns = self._columns if isinstance(self._columns, int) else self._columns[name]
        return encode_synthetic(np.full((len(labels), columns), 0.5, np.float32), labels)


class Server:
    """In the place of the line to the neutral server."""

    name = "neutral-server"

    def __init__(self, seen: Seen, barriers: list[int] | None = None) -> None:
        self.seen, self.barriers = seen, barriers or []
        self.requests: dict[str, Any] = {}
        self.meter = self

    def take(self) -> list[common_pb2.LinkUsage]:
        return [common_pb2.LinkUsage(link="coordinator>neutral-server", bytes=5, messages=1)]

    def prepare_shared(self, request: Any) -> list[int]:
        self._call("prepare_shared", request)
        return self.barriers

    def begin_shared(self, request: Any) -> None:
        self._call("begin_shared", request)

    def open_shared_epoch(self, request: Any) -> None:
        self._call(f"open_shared_epoch {request.epoch}", request)

    def describe_pass(self, run: str, generation: int) -> stack_control_pb2.DescribePassReply:
        losses = [common_pb2.NetLoss(net="shared_discriminator", group=0, model=0, loss=0.7)]
        return stack_control_pb2.DescribePassReply(
            phases=[common_pb2.PhaseSeconds(phase="wait", seconds=0.5)], losses=losses
        )

    def hold(self, request: Any) -> bytes:
        self._call(f"hold {request.barrier}", request)
        return b""

    def close_run(self, run: str, generation: int, sentence: str) -> None:
        self.seen.append((self.name, "close_run"))

    def _call(self, name: str, request: Any) -> None:
        self.seen.append((self.name, name))
        self.requests[name] = request
