"""The page's section on `bench epoch`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coordinator.report.benchmarks.figure import save_figure
from coordinator.report.benchmarks.page import environment_line, markdown_table
from coordinator.report.plots import LOOP_LABELS, METHOD_COLOURS
from coordinator.sweeps.bench_log import Record

_TARGETS = {
    ("fraud", "masked_sum"): (1.5, 4.0),
    ("fraud", "beaver"): (2.5, 6.0),
    ("fraud-full", "masked_sum"): (1.5, 4.0),
    ("fraud-full", "beaver"): (2.5, 6.0),
    ("distress", "masked_sum"): (None, 3.5),
    ("distress", "beaver"): (None, 10.0),
}
"""(over keras fit, over the tf.function loop), DESIGN.md section 7, for two parties."""


def section(records: list[Record], plots: Path) -> str:
    """The last record of every case: times, ratios against their targets, and where each role's time goes."""
    latest = list({record["case"]: record for record in records}.values())
    shapes = list(dict.fromkeys(record["shape"] for record in latest))
    parts = [
        "## An epoch over plain training (`tertium bench epoch`)\n",
        environment_line(latest[-1])
        + ". Split and plain training alternate; a ratio is taken within its repetition.\n",
    ]
    for shape in shapes:
        cases = [record for record in latest if record["shape"] == shape]
        name = f"epoch-{shape}.png"
        _plot(shape, cases, plots / name)
        parts += [
            f"### {shape}: {cases[0]['rows']:,} {cases[0]['rows_are']} rows, {cases[0]['steps']} steps an epoch\n",
            _ratios(cases),
            f"![Milliseconds an epoch, {shape}](benchmarks/{name})\n",
            phase_lines([(f"{case['variant']}, n = {case['parties']}", case["phase_seconds"]) for case in cases]),
        ]
    return "\n".join(parts)


def _ratios(cases: Sequence[Record]) -> str:
    rows = []
    for case in cases:
        fit, strong = (
            _TARGETS.get((case["shape"], case["variant"]), (None, None)) if case["parties"] == 2 else (None, None)
        )
        rows.append(
            [
                f"{case['variant']}, n = {case['parties']}",
                _spread(case["seconds"], 1e3),
                _spread(case["keras_fit_seconds"], 1e3),
                _spread(case["tf_function_seconds"], 1e3),
                _spread(case["over_keras_fit"]) + _target(fit),
                _spread(case["over_tf_function"]) + _target(strong),
                f"{case['epoch_megabytes']:.2f}",
                f"{case['largest_score_gap']:+.6f}",
            ]
        )
    head = [
        "variant",
        "split, ms an epoch",
        "keras fit, ms",
        "tf.function loop, ms",
        "over keras fit",
        "over tf.function loop",
        "MB an epoch, all links",
        "AUC gap",
    ]
    return markdown_table(head, rows)


def _target(limit: float | None) -> str:
    return "" if limit is None else f" (target ≤ {limit:g})"


def _spread(spread: dict[str, Any], factor: float = 1.0) -> str:
    low, middle, high = (spread[key] * factor for key in ("lowest", "median", "highest"))
    digits = 1 if factor > 1 else 2
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def phase_lines(cases: Sequence[tuple[str, Mapping[str, Mapping[str, float]]]]) -> str:
    """Milliseconds an epoch by role and phase, a list a case: (its name, role -> phase -> seconds)."""
    parts = ["Where an epoch's time goes (median milliseconds per role; a wait is other roles' time):\n"]
    for case, roles in cases:
        lines = [
            f"  * {role}: "
            + ", ".join(f"{phase} {seconds * 1e3:.1f}" for phase, seconds in phases.items() if seconds >= 5e-5)
            for role, phases in roles.items()
        ]
        parts.append(f"* {case}\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def _plot(shape: str, cases: Sequence[Record], file: Path) -> None:
    """One row a case: the split epoch as a bar, both plain loops as marks."""

    def draw(axes: Any) -> None:
        places = range(len(cases))
        milliseconds = {
            key: [case[f"{key}seconds"]["median"] * 1e3 for case in cases] for key in ("", "keras_fit_", "tf_function_")
        }
        axes.barh(places, milliseconds[""], color=METHOD_COLOURS["split"], height=0.55, label="split")
        for loop in ("keras_fit", "tf_function"):
            colour = METHOD_COLOURS[loop]
            axes.plot(milliseconds[f"{loop}_"], places, "D", color=colour, label=LOOP_LABELS[loop], markersize=7)
        for place, case in zip(places, cases, strict=True):
            text = (
                f"{case['over_keras_fit']['median']:.2f} × fit, {case['over_tf_function']['median']:.1f} × tf.function"
            )
            end = max(values[place] for values in milliseconds.values())
            axes.annotate(text, (end, place), xytext=(9, 0), textcoords="offset points", va="center", fontsize=9)
        axes.set_yticks(places, [f"{case['variant']}, n = {case['parties']}" for case in cases])
        axes.invert_yaxis()
        axes.set_xlim(0, axes.get_xlim()[1] * 1.4)
        axes.set_xlabel("milliseconds per epoch (median)")
        axes.set_title(f"{shape}: an epoch of the split network beside plain training", loc="left")
        axes.grid(visible=False, axis="y")
        axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.16), ncols=3, frameon=False, fontsize=9)

    save_figure(file, draw, width=9.0, height=1.7 + 0.5 * len(cases))
