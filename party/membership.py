"""What a plan makes of this party: its part, its peers, its network, and the step headers it signs with its name."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from kernel.network import NetworkSpec
from kernel.plan_message import label_holder, network_spec, plan_hash, protection_spec
from kernel.protection import ProtectionSpec
from party.policy import part_of
from protos.v1 import common_pb2, plan_pb2


@dataclass(frozen=True)
class Membership:
    """One generation of one run, seen from the party called ``me``."""

    me: str
    run: str
    generation: int
    plan: plan_pb2.RunPlan

    @cached_property
    def names(self) -> list[str]:
        """All parties in the order of the plan."""
        return [party.name for party in self.plan.parties]

    @cached_property
    def peers(self) -> list[str]:
        return [name for name in self.names if name != self.me]

    @cached_property
    def place(self) -> int:
        """This party's place among ``names``, from 0; the origin of what its generators make."""
        return self.names.index(self.me)

    @cached_property
    def part(self) -> plan_pb2.PartyPlan:
        return part_of(self.plan, self.me)

    @cached_property
    def holds_label(self) -> bool:
        return label_holder(self.plan) == self.me

    @cached_property
    def network(self) -> NetworkSpec:
        return network_spec(self.plan.network)

    @cached_property
    def protection(self) -> ProtectionSpec:
        return protection_spec(self.plan)

    @cached_property
    def plan_hash(self) -> bytes:
        return plan_hash(self.plan)

    def columns_by_party(self, widths: Sequence[int]) -> dict[str, slice]:
        """Where each party's columns stand among those of all; ``widths``: encoded columns per party in the order of the plan."""
        ends = list(accumulate(widths))
        return {name: slice(end - width, end) for name, width, end in zip(self.names, widths, ends, strict=True)}

    def header(self, epoch: int = 0, step: int = 0, purpose: int = common_pb2.PURPOSE_SET_UP) -> common_pb2.StepHeader:
        """A step header in this party's name; ``purpose`` is a number of common.proto's Purpose."""
        return common_pb2.StepHeader(
            run=self.run,
            generation=self.generation,
            epoch=epoch,
            step=step,
            purpose=common_pb2.Purpose.Name(purpose),
            sender=self.me,
        )
