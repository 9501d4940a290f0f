"""What `tertium plan` says of layers on shares, before anything is sent."""

from coordinator.plan import Plan
from coordinator.secret_forecast import StepRounds, step_rounds
from coordinator.secret_section import SecretLayerPlan
from kernel.secret.plan import is_secret

_ANSWERS = 2  # h_L, and the end of the step


def secret_lines(plan: Plan) -> list[str]:
    """What is secret, who sees the gradient, who holds first-layer weights, rounds by layer; empty of a plan without any of it."""
    message = plan.message()
    if not is_secret(message):
        return []
    depth, rounds = len(plan.secret_layers) + 1, step_rounds(message)
    lines = [_whole(plan, depth)]
    for number, (layer, (forward, backward)) in enumerate(zip(plan.secret_layers, rounds.layers, strict=True), 1):
        lines.append(
            f"  layer {number}: {layer.width} wide, {_activation(layer)}; its output and bias{' and weights' if number > 1 else ''} are shares, "
            f"|z{number}| stays below {layer.interval:g} or the run stops; {forward} rounds forward, {backward} back"
        )
    if plan.serverless:
        lines.append(
            f"  layer {depth}: the label head, its gradient by a cubic in the place of a sigmoid; |output| stays below "
            f"{message.head_interval:g} or the run stops"
        )
    elif depth > 1:
        lines.append(f"  layer {depth}: the cut; its weights are shares")
    return [*lines, _gradient(plan, depth), _weights(plan), _rounds(plan, rounds)]


def _whole(plan: Plan, depth: int) -> str:
    if plan.serverless:
        return (
            f"on shares: i = {depth}, all layers; there is no neutral server, the output of rows that are predicted goes to the label "
            "holder alone, and the coordinator forwards what the parties seal for one another"
        )
    together = f"layers 1 to {depth}" if depth > 1 else "layer 1"
    return (
        f"on shares: i = {depth}; the parties compute {together} together, and the neutral server gets z{depth}, "
        f"{plan.network.widths[0]} wide, and all above"
    )


def _rounds(plan: Plan, rounds: StepRounds) -> str:
    shared = plan.gradient == "shared" and not plan.serverless
    moves = plan.secret_layers or plan.weights == "shared" or plan.serverless
    proved = plan.protection.cut_interval is not None
    rest = [
        "all weights at once",
        *["the proof of the cut"] * proved,
        *["the shared gradient"] * shared,
        *["the head and its loss"] * plan.serverless,
    ]
    rest += ["all moves at once"] * bool(moves)
    said = (
        f"rounds a training step: {rounds.total} of openings among the parties, {rounds.rest} of them for no single layer before the last "
        f"({', '.join(rest)})"
    )
    if plan.weights == "own":
        said += ", one more for first-layer gradients"
    return said if plan.serverless else f"{said}, and {_ANSWERS} answers of the neutral server at the label holder"


def _activation(layer: SecretLayerPlan) -> str:
    return (
        layer.activation if layer.approximates is None else f"{layer.activation} in the place of {layer.approximates}"
    )


def _gradient(plan: Plan, depth: int) -> str:
    if plan.serverless:
        return f"  gradient shared: dL/dz{depth} is computed on shares, and nobody sees it"
    if plan.gradient == "shared":
        return f"  gradient shared: dL/dz{depth} goes to the parties as shares, and none of them sees it"
    return f"  gradient open: every party sees dL/dz{depth} of every training row, and can guess labels from it"


def _weights(plan: Plan) -> str:
    if plan.weights == "shared":
        return "  first-layer weights shared: they start as a sum of draws of all parties, and nobody ever knows them"
    return (
        "  first-layer weights own: each party holds its block in the clear, and learns the sum over a batch of its own columns "
        "times dL/dz1 in every step, from many of which labels can be solved for"
    )
