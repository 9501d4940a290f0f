"""What `tertium plan` says of a plan's defender and protection, before anything is sent."""

from coordinator.defender_section import DefenderPlan
from coordinator.plan import Plan
from coordinator.report.quantities import three_digits
from kernel.gaussian_accounting import local_privacy


def privacy_lines(plan: Plan) -> list[str]:
    """A sentence for each mitigation that is on, with what it shows to whom or promises; empty without any."""
    return _defender(plan.defender) + _protection(plan)


def _defender(defender: DefenderPlan | None) -> list[str]:
    if defender is None:
        return []
    widths = "-".join(map(str, defender.widths)) or "no hidden layer"
    return [
        f"defender: λ = {defender.weight:g}, {defender.objective}, {defender.distance}, nets of {widths} at every party",
        "  it reveals h1: every party receives the first activations of every training row, and can learn other parties' "
        "columns from them; the neutral server decodes the sum of the parties' gradients",
        "  every party needs `reveal_h1 = true` in its policy, and TensorFlow",
    ]


def _protection(plan: Plan) -> list[str]:
    lines, spec, epochs = [], plan.protection.spec, plan.epochs
    if spec.bounded:
        lines.append(
            f"protection: rows of a party are scaled down to norm {spec.row_norm:g}, its first-layer weights to spectral "
            f"norm {spec.weight_norm:g}"
        )
    cut = len(plan.secret_layers) + 1
    if spec.cut_interval:
        lines.append(
            f"protection: |z{cut}| of every unit is proved on shares to stay below {spec.cut_interval:g} before it leaves, or the run stops: at or "
            f"above {2 * spec.cut_interval:g} for sure, in between with a probability; that it stops tells of the row, and is not in ε"
        )
    if spec.z1_noise:
        releases = spec.releases(range(1, epochs + 1))
        found = local_privacy(spec.z1_noise, spec.reach(plan.network.widths[0]), releases)
        uncounted = (
            ", and not counting the sum of the defenders' gradients, which has no noise"
            if plan.defender is not None
            else ""
        )
        lines.append(
            f"protection: noise of {spec.z1_noise:g} on z{cut} at each party; a training row has ε = {three_digits(found.epsilon)} "
            f"at δ = {found.delta:g} over {releases} release{'s' if releases > 1 else ''} in {epochs} epochs (relation: "
            f"{found.relation}; given the weights, which are trained from the rows without noise{uncounted})"
        )
    if spec.freeze_first_layer_after is not None:
        after = spec.freeze_first_layer_after
        since = f"after epoch {after} of {epochs}" if after else "as they are drawn"
        lines.append(f"protection: first-layer weights stay {since}, and dL/dz1 goes to nobody then")
    if spec.label_gradient != "none":
        power = f" of power {spec.marvell_power:g}" if spec.label_gradient == "marvell" else ""
        lines.append(f"protection: {spec.label_gradient} noise{power} on dL/dh_L, at the label holder")
    return lines
