"""The page's section on `bench privgan`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coordinator.report.benchmarks.epoch import phase_lines
from coordinator.report.benchmarks.figure import save_figure
from coordinator.report.benchmarks.page import environment_line, markdown_table
from coordinator.report.plots import PLAIN, SPLIT, TF_FUNCTION
from coordinator.sweeps.bench_log import Record, Spread

PLOT = "privgan-epoch.png"
TARGET, STRETCH = 0.9, 0.6
"""Of an epoch over the original Keras loop, mode fakes (DESIGN.md section 7)."""

_LOOPS = {"keras": "Keras", "keras_xla": "Keras with jit_compile"}
_COLOURS = {"keras": PLAIN, "keras_xla": TF_FUNCTION}


def section(records: list[Record], plots: Path) -> str:
    """The last record of every case: seconds, ratios against the target, bytes against the forecast, where time goes."""
    latest = list({record["case"]: record for record in records}.values())
    _plot(latest, plots / PLOT)
    return "\n".join(
        [
            "## An epoch of privGAN over the original loop (`tertium bench privgan`)\n",
            environment_line(latest[-1])
            + ". The original loop holds all generators, discriminators and rows in one process (`train_on_batch`, compiled once, "
            "fakes by `predict_on_batch`); its epoch is the median of timed steps times the epoch's steps. Both alternate, a ratio is "
            f"taken within its repetition. Target ≤ {TARGET:g}, stretch {STRETCH:g}, over Keras as it is on a CPU, mode fakes.\n",
            markdown_table(
                ["case", "steps", "seconds an epoch", *_heads()],
                [_row(record) for record in latest],
            ),
            f"![Seconds of an epoch of privGAN]({plots.name}/{PLOT})\n",
            "Bytes an epoch on each link that a step uses:\n",
            markdown_table(["case", "link", "measured", "forecast"], _bytes(latest)),
            phase_lines([(record["case"], record["phase_seconds"]) for record in latest]),
        ]
    )


def _heads() -> list[str]:
    return [head for name in _LOOPS.values() for head in (f"{name}, seconds", f"over {name}")]


def _row(record: Record) -> list[str]:
    cells = [record["case"], str(record["steps"]), str(Spread(**record["seconds"]))]
    for loop in _LOOPS:
        ratio = Spread(**record["over_loop"][loop])
        cells += [str(Spread(**record["loop_seconds"][loop])), f"{ratio}{_verdict(record, loop, ratio)}"]
    return cells


def _verdict(record: Record, loop: str, ratio: Spread) -> str:
    if loop != "keras" or record["mode"] != "fakes" or record["parties"] != 2:
        return ""
    return ", stretch met" if ratio.median <= STRETCH else ", met" if ratio.median <= TARGET else ", missed"


def _bytes(latest: Sequence[Record]) -> list[list[str]]:
    return [
        [record["case"], link, f"{record['epoch_bytes'].get(link, 0):,}", f"{forecast:,}"]
        for record in latest
        for link, forecast in record["forecast_bytes"].items()
    ]


def _plot(latest: Sequence[Record], file: Path) -> None:
    """One row a case: the epoch as a bar, the original loops as marks."""

    def draw(axes: Any) -> None:
        places = range(len(latest))
        axes.barh(
            places,
            [one["seconds"]["median"] for one in latest],
            xerr=[
                [one["seconds"]["median"] - one["seconds"]["lowest"] for one in latest],
                [one["seconds"]["highest"] - one["seconds"]["median"] for one in latest],
            ],
            color=SPLIT,
            height=0.5,
            label="parties and neutral server",
        )
        for loop, name in _LOOPS.items():
            seconds = [one["loop_seconds"][loop]["median"] for one in latest]
            axes.plot(seconds, places, "D", color=_COLOURS[loop], label=f"original loop, {name}", markersize=7)
        for place, one in zip(places, latest, strict=True):
            end = max(one["seconds"]["highest"], *(values["median"] for values in one["loop_seconds"].values()))
            text = f"{one['over_loop']['keras']['median']:.2f} × Keras"
            axes.annotate(text, (end, place), xytext=(9, 0), textcoords="offset points", va="center", fontsize=9)
        axes.set_yticks(places, [one["case"] for one in latest])
        axes.invert_yaxis()
        axes.set_xlim(0, axes.get_xlim()[1] * 1.25)
        axes.set_xlabel("seconds per epoch (median; line: lowest to highest repetition)")
        axes.set_title("An epoch of privGAN beside the original loop", loc="left")
        axes.grid(visible=False, axis="y")
        axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.3), ncols=3, frameon=False, fontsize=9)

    save_figure(file, draw, width=9.0, height=1.9 + 0.5 * len(latest))
