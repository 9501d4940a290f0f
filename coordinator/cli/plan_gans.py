"""What `tertium plan` says of a plan of GANs."""

from collections.abc import Sequence
from math import isqrt

from rich.console import Console
from rich.table import Table

from coordinator.cli.wire_limit import print_links, print_wire_limit
from coordinator.gan_forecast import GanForecast, forecast_gans
from coordinator.gan_plan import GanPartyPlan, GanPlan, check_message_size
from coordinator.job_plan import protocol_of
from coordinator.local.federation import local_table
from coordinator.local.tables import gan_counts
from kernel.errors import SettingsError
from kernel.gan.schedule import Group, plan_groups
from kernel.gan.spec import ImageShape, gan_spec
from kernel.plan_message import plan_hash

_SHOWN = {
    "fakes": "every fake of every party, and whose it is; no row, no label, no net of a party",
    "updates": "the sum of the parties' gradients of the shared discriminator, and its weights; no fake, no row, no label",
    "none": "nothing: it takes no part, and nothing goes between parties",
}


def print_gan_plan(plan: GanPlan, rows: int | None, columns: Sequence[int] | None, console: Console) -> None:
    """The schedule, bytes per link, and what the server will see.

    Args:
      rows: training rows of every class at every party, and columns: one number; None: the tables are read here.

    Raises:
      SettingsError: rows without the plan's classes. BadInputError: parties of several shapes, a class that nobody has.
    """
    counts, width, image = _counts(plan) if rows is None else _assumed(plan, rows, columns or ())
    if objection := check_message_size(plan, width, image):
        raise SettingsError(objection)
    message = plan.message()
    groups = plan_groups(gan_spec(message), [party.name for party in plan.parties], counts)
    expected = forecast_gans(message, groups, width, image)
    console.print(f"{plan.name}: {plan.job}, sharing {protocol_of(plan)}, plan hash {plan_hash(message).hex()[:16]}")
    kind = f"images of {image.height} x {image.width}" if image else "no images"
    console.print(f"{width} columns ({kind}), {plan.epochs} epochs, steps by {plan.steps.policy}")
    console.print(_schedule(plan, groups, counts))
    console.print(_epochs(expected), soft_wrap=True)
    console.print(f"the neutral server will see {_SHOWN[protocol_of(plan)]}", soft_wrap=True)
    if protocol_of(plan) == "updates" and any(sum(steps > 0 for steps in group.steps) == 2 for group in groups):
        console.print(
            "where two parties alone train a class each can work out the other's gradient from the weights it is sent: updates "
            "hide a party among three or more",
            soft_wrap=True,
        )
    console.print(
        "the coordinator, and the parties that judge them, will see synthetic rows of every party", soft_wrap=True
    )
    console.print(
        "nothing of this is differentially private; every party needs its table in `synthetic_rows` of its policy",
        soft_wrap=True,
    )
    if expected.epoch_bytes:
        _print_links(expected, console)


def _counts(plan: GanPlan) -> tuple[dict[str, dict[int, int]], int, ImageShape | None]:
    found = {
        party.name: gan_counts(
            message,
            {table: local_table(plan, table) for table in _tables(party)},
            plan.classes,
            plan.test_fraction,
            plan.seed,
        )
        for party, message in zip(plan.parties, plan.message().parties, strict=True)
    }
    shapes = {name: (one["columns"], tuple(one["image"])) for name, one in found.items()}
    if len(set(shapes.values())) != 1:
        described = ", ".join(f"{name} {width} columns, image {image}" for name, (width, image) in shapes.items())
        raise SettingsError(f"rows differ between parties: {described}; one model's rows are of one shape")
    width, image = next(iter(shapes.values()))
    return {name: one["classes"] for name, one in found.items()}, width, ImageShape(*image) if image[0] else None


def _assumed(
    plan: GanPlan, rows: int, columns: Sequence[int]
) -> tuple[dict[str, dict[int, int]], int, ImageShape | None]:
    if len(set(columns)) != 1:
        raise SettingsError(f"rows of GANs are of one width, --columns says {list(columns)}")
    if not plan.classes:
        raise SettingsError("--rows counts each class's training rows at each party; name the plan's classes")
    width = columns[0]
    side = isqrt(width)
    image = ImageShape(side, side) if plan.nets.kind == "convolutional" and side * side == width else None
    return {party.name: dict.fromkeys(plan.classes, rows) for party in plan.parties}, width, image


def _tables(party: GanPartyPlan) -> list[str]:
    return [party.table, *([party.holdout] if party.holdout is not None else [])]


def _schedule(plan: GanPlan, groups: Sequence[Group], counts: dict[str, dict[int, int]]) -> Table:
    names = [party.name for party in plan.parties]
    table = Table("classes", *names, "exchanged")
    for group in groups:
        rows = [sum(counts[name].get(label, 0) for label in group.classes) for name in names]
        cells = [f"{steps} steps, {count} rows" for count, steps in zip(rows, group.steps, strict=True)]
        exchanged = group.exchanged() if plan.shared is not None else 0
        table.add_row(", ".join(map(str, group.classes)), *cells, str(exchanged))
    return table


def _epochs(expected: GanForecast) -> str:
    silent = expected.epochs - expected.paying_epochs - expected.warm_up_epochs
    if not expected.epoch_bytes:
        return f"{expected.epochs} epochs at the parties alone"
    stretches = (
        (silent, "without sharing"),
        (expected.warm_up_epochs, "in which the shared discriminator learns and nobody pays"),
        (expected.paying_epochs, "in which generators pay"),
    )
    return "epochs: " + ", then ".join(f"{number} {what}" for number, what in stretches if number)


def _print_links(expected: GanForecast, console: Console) -> None:
    print_links(expected, "warm-up", expected.warm_up_bytes if expected.warm_up_epochs else None, console)
    console.print(f"rounds an epoch (a party waits): {expected.rounds}")
    print_wire_limit(expected, console)
