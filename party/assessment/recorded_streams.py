"""Which messages of a recorded run make a training step whole, by what its plan says of gradients and weights."""

from collections.abc import Mapping

from kernel.batch_order import batch_sizes
from kernel.defender_plan import defender_spec
from kernel.plan_message import protection_spec
from party.assessment.inventory import Inventory
from party.assessment.recorded_frames import SERVER, SUMMED
from party.assessment.run_files import RunFiles
from party.assessment.summed_gradient import reveals_own_gradient


def streams(files: RunFiles, inventories: Mapping[str, Inventory]) -> list[set[tuple[int, int]]]:
    """Whole passes of every stream a training step needs."""
    rows, holder = len(files.split.train), files.label_holder
    found = [inventories[SERVER].whole("share", party.name, rows) for party in files.parties]
    found.append(inventories[SERVER].whole("head_gradient", holder, rows))
    if defender_spec(files.plan) is not None:
        found += [inventories[SERVER].whole("defender_share", party.name, rows) for party in files.parties]
    found.append(inventories[holder].whole("cut_activation", SERVER, rows))
    if reveals_own_gradient(files.plan):
        steps = len(batch_sizes(rows, files.plan.batch_rows))
        found += [
            inventories[party.name].whole(SUMMED, sender.name, steps * party.rows.shape[1])
            for party in files.parties
            for sender in files.parties
        ]
    if files.plan.gradient:
        receiver, kind = gradient_stream(files)
        return [*found, inventories[receiver].whole(kind, SERVER, rows)]
    trains = protection_spec(files.plan).trains_first_layer
    frozen = {one for one in found[0] if not trains(one[0])}
    return found + [inventories[party.name].whole("cut_gradient", SERVER, rows) | frozen for party in files.parties]


def gradient_stream(files: RunFiles) -> tuple[str, str]:
    """A receiver of dL/dz_1 of every step, and the kind of message: a shared gradient comes as words to the first party alone."""
    return (files.parties[0].name, "gradient_share") if files.plan.gradient else (files.label_holder, "cut_gradient")
