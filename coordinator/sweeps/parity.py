"""Parity: the split network against the plain one, over plans, protocols, rings, types at the cut, and seeds.

The plain network starts from the same weights and sees the same batches (party/baseline), so a gap is what fixed point,
masks and the network in between cost.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import tomli_w

from coordinator.cli.training import train_here
from coordinator.plan import Plan, ProtocolName, parse_plan, read_plan_text
from coordinator.report.run_record import RunRecord, read_run
from coordinator.sweeps.bench_log import BenchLog
from kernel.errors import BadInputError, SettingsError
from kernel.plan_message import plan_hash
from kernel.secret.plan import is_secret, secret_spec, without_server
from kernel.settings import parse_toml
from protos.v1 import plan_pb2


@dataclass(frozen=True)
class WireOptions:
    """What is to stand in a plan instead of its own; None leaves the plan's, or the protocol's default.

    Attributes:
      ring_bits, fractional_bits: of the first layer's shares; cut_dtype: of h_L and gradients on the wire.
    """

    ring_bits: int | None = None
    fractional_bits: int | None = None
    cut_dtype: str | None = None


@dataclass(frozen=True)
class ParityResult:
    """One score of one run beside its plain network."""

    plan: str
    protocol: str
    seed: int
    score: str
    split: float
    plain: float

    @property
    def gap(self) -> float:
        return self.split - self.plain


def run_parity(
    plan_files: Sequence[Path],
    protocols: Sequence[str],
    seeds: Sequence[int],
    runs: Path,
    out: Path,
    options: WireOptions | None = None,
) -> Iterator[ParityResult]:
    """Train every combination with every role as its own process, and log one record a run (`BenchLog`, "parity").

    A plan with more on shares than the first product is trained under its own protocol alone: no other can do it.

    A record: ``protocol``, ``parties`` (how many), ``secret_layers`` (``width``, ``activation``, ``approximates``, ``interval`` of
    each), ``gradient``, ``weights``, ``server`` (whether there is a neutral one), ``seed``, ``ring_bits``, ``fractional_bits``, ``cut_dtype``, ``family`` (the plan's hash with
    seed 0: equal for runs that differ in nothing else), ``scores``: name -> split, plain, gap; and ``training_loss``: the
    same of the last epoch's mean loss, which moves with gaps that no rank of a few test rows shows. Without a neutral server
    nobody knows the loss of a run, and it is left out.

    Args:
      runs: where run directories go; out: the log's directory; options: what replaces the plans' own.

    Raises:
      SettingsError: a plan file, protocol or option that cannot be used; before anything is trained.
    """
    variants = [
        (file, varied_plan(text, str(file), protocol, seed, options or WireOptions()))
        for file, text in ((file, read_plan_text(file)) for file in plan_files)
        for protocol in ([None] if _is_secret(parse_toml(text, str(file))) else protocols)
        for seed in seeds
    ]
    checked = [(text, parse_plan(text, str(file))) for file, text in variants]
    return _train(checked, runs, BenchLog(out))


def varied_plan(plan_text: str, what: str, protocol: str | None, seed: int, options: WireOptions) -> str:
    """A plan's TOML with this protocol (None: its own), seed and wire. The plan's own ring stays only where its own protocol
    does: the default of another protocol is another ring.

    Raises:
      SettingsError: not TOML, or no such protocol.
    """
    if protocol is not None and protocol not in get_args(ProtocolName):
        raise SettingsError(f"there is no protocol {protocol!r}; protocols are {', '.join(get_args(ProtocolName))}")
    document = parse_toml(plan_text, what)
    layer = _table(document, "first_layer")
    own = layer.get("protocol", "masked_sum")
    kept = layer if protocol in (None, own) else {}
    ring = {"ring_bits": options.ring_bits, "fractional_bits": options.fractional_bits}
    document["first_layer"] = {
        **kept,
        "protocol": protocol or own,
        **{key: value for key, value in ring.items() if value is not None},
    }
    document["seed"] = seed
    if options.cut_dtype is not None:
        document["cut_dtype"] = options.cut_dtype
    return tomli_w.dumps(document)


def parity_figures(plan: Plan, run: RunRecord) -> dict[str, Any]:
    """A record of a run and its baseline; see `run_parity`.

    Raises:
      BadInputError: the run has no baseline, or no scores.
    """
    ring_bits, fractional_bits = plan.ring
    if run.baseline is None:
        raise BadInputError(f"run {run.run} has no plain network beside it; train it with its baseline")
    if not run.scores:
        raise BadInputError(f"run {run.run} has no scores; it ended before its test rows were scored")
    losses = [epoch.loss for epoch in run.epochs if epoch.loss is not None]
    return {
        "protocol": plan.first_layer.protocol,
        **_on_shares(plan.message()),
        "seed": plan.seed,
        "ring_bits": ring_bits,
        "fractional_bits": fractional_bits,
        "cut_dtype": plan.cut_dtype,
        "family": plan_hash(plan.model_copy(update={"seed": 0}).message()).hex(),
        "scores": {name: _pair(run.scores[name].value, plain.value) for name, plain in run.baseline_scores.items()},
        **({"training_loss": _pair(losses[-1], run.baseline.losses[-1])} if losses else {}),
    }


def _is_secret(document: Mapping[str, Any]) -> bool:
    """`kernel.secret.plan.is_secret` of a plan file, before it is known whether it is a plan."""
    layer, network = _table(document, "first_layer"), _table(document, "network")
    shared = "shared" in (layer.get("gradient"), layer.get("weights"))
    return shared or bool(document.get("secret_layers")) or network.get("widths") == []


def _table(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _on_shares(plan: plan_pb2.RunPlan) -> dict[str, Any]:
    """What of a record says who computes what."""
    spec = secret_spec(plan, columns=1) if is_secret(plan) else None  # nothing of what is read depends on the columns
    return {
        "parties": len(plan.parties),
        "secret_layers": [] if spec is None else [asdict(layer) for layer in spec.layers],
        "gradient": "open" if spec is None else spec.gradient,
        "weights": "own" if spec is None else spec.weights,
        "server": not without_server(plan),
    }


def _pair(split: float, plain: float) -> dict[str, float]:
    return {"split": split, "plain": plain, "gap": split - plain}


def _train(plans: Sequence[tuple[str, Plan]], runs: Path, log: BenchLog) -> Iterator[ParityResult]:
    for text, plan in plans:
        directory = train_here(text, plan, "", runs, resume=False, baseline=True)
        figures = parity_figures(plan, read_run(directory))
        log.append("parity", figures, plan)
        for name, score in figures["scores"].items():
            yield ParityResult(plan.name, figures["protocol"], plan.seed, name, score["split"], score["plain"])
