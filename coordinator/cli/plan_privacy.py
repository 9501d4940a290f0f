"""What `tertium plan` says of a plan's defender and protection, before anything is sent."""

from coordinator.defender_section import DefenderPlan
from coordinator.plan import Plan, ProtectionPlan
from coordinator.report.quantities import three_digits
from kernel.gaussian_accounting import local_privacy


def privacy_lines(plan: Plan) -> list[str]:
    """A sentence for each mitigation that is on, with what it shows to whom or promises; empty without any."""
    return _defender(plan.defender) + _protection(plan.protection, plan.epochs, defended=plan.defender is not None)


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


def _protection(protection: ProtectionPlan, epochs: int, *, defended: bool) -> list[str]:
    lines = []
    if protection.row_norm and protection.weight_norm:
        lines.append(
            f"protection: rows of a party are scaled down to norm {protection.row_norm:g}, its first-layer weights to spectral "
            f"norm {protection.weight_norm:g}"
        )
        if protection.z1_noise:
            found = local_privacy(protection.z1_noise, protection.row_norm, protection.weight_norm, epochs)
            uncounted = ", and not counting the sum of the defenders' gradients, which has no noise" if defended else ""
            lines.append(
                f"protection: noise of {protection.z1_noise:g} on z1 at each party; over {epochs} epoch{'s' if epochs > 1 else ''} "
                f"a training row has ε = {three_digits(found.epsilon)} at δ = {found.delta:g} (relation: {found.relation}; given "
                f"the weights, which are trained from the rows without noise{uncounted})"
            )
    if protection.freeze_first_layer_after:
        lines.append(
            f"protection: first-layer weights stay after epoch {protection.freeze_first_layer_after} of {epochs}"
        )
    if protection.label_gradient != "none":
        power = f" of power {protection.marvell_power:g}" if protection.label_gradient == "marvell" else ""
        lines.append(f"protection: {protection.label_gradient} noise{power} on dL/dh_L, at the label holder")
    return lines
