"""The plots of a run. Every method keeps its colour on every page; a plot without data is not made.

Figures are drawn on Matplotlib's Agg canvas without pyplot: no window, no global state. Matplotlib is
imported when the first figure is drawn.
"""

import io
import statistics
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from coordinator.report.figure import DOTS_PER_INCH, INKS, Theme, canvas, finish, whole_epochs
from coordinator.report.gan.gan_plots import GAN_DRAWINGS
from coordinator.report.gan.gan_record import is_gan_run
from coordinator.report.privacy.plots import PREFIX, draw_leakage, drawn_measures
from coordinator.report.quantities import BYTE_UNITS, payload
from coordinator.report.run_record import RunRecord, read_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPLIT, PLAIN, TF_FUNCTION, RELAYED = "#3b82f6", "#e07b00", "#0d9f8c", "#a06cd5"
METHOD_COLOURS: Mapping[str, str] = {
    "split": SPLIT,
    "plain": PLAIN,
    "keras_fit": PLAIN,
    "tf_function": TF_FUNCTION,
}
LOOP_LABELS: Mapping[str, str] = {
    "keras_fit": "plain, keras fit",
    "tf_function": "plain, tf.function a batch",
}


Drawing = Callable[[RunRecord, Theme], "Figure | None"]


def write_plots(run_directory: Path) -> tuple[Path, ...]:
    """Draws the plots that have data into ``plots/``; returns the files written, in the page's order.

    Raises:
      BadInputError: the directory holds no run.
    """
    directory = run_directory / "plots"
    written = []
    for name, image in render_plots(read_run(run_directory), "light").items():
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{name}.png").write_bytes(image)
        written.append(directory / f"{name}.png")
    return tuple(written)


def render_plots(record: RunRecord, theme: Theme) -> dict[str, bytes]:
    """PNG images by name, for those that have data."""
    own: Mapping[str, Drawing] = GAN_DRAWINGS if is_gan_run(record) else {"loss": draw_loss, "roc": draw_roc}
    drawings: Mapping[str, Drawing] = {
        **own,
        "seconds": draw_seconds,
        "bytes": draw_bytes,
        **{f"{PREFIX}{measure}": partial(draw_leakage, measure) for measure in drawn_measures(record)},
    }
    images = {}
    for name, draw in drawings.items():
        figure = draw(record, theme)
        if figure is not None:
            image = io.BytesIO()
            figure.savefig(image, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
            images[name] = image.getvalue()
    return images


def draw_loss(record: RunRecord, theme: Theme = "light") -> "Figure | None":
    """Mean training loss per epoch, split and plain."""
    split = [(epoch.epoch, epoch.loss) for epoch in record.epochs if epoch.loss is not None]
    plain = record.baseline.losses if record.baseline else ()
    if not split and not plain:
        return None
    figure, axes = canvas(theme)
    first = record.epochs[0].epoch if record.epochs else 1
    if plain:
        # The plain line is wider and lies below: where both nets agree, both stay visible.
        axes.plot(range(first, first + len(plain)), plain, color=PLAIN, linewidth=5, alpha=0.7, label="plain")
    if split:
        axes.plot(*zip(*split, strict=True), color=SPLIT, linewidth=1.8, marker="o", markersize=3.5, label="split")
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"mean training loss{_loss_unit(record)}")
    whole_epochs(axes)
    return finish(figure, axes, theme, "Loss per epoch", record)


def draw_roc(record: RunRecord, theme: Theme = "light") -> "Figure | None":
    """ROC on the test rows, split and plain; the legend gives areas with their 95 % intervals."""
    last = next((evaluation.roc for evaluation in reversed(record.evaluations) if evaluation.roc), None)
    plain = record.baseline.roc if record.baseline else None
    if last is None and plain is None:
        return None
    figure, axes = canvas(theme, height=4.6)
    axes.plot([0, 1], [0, 1], color=INKS[theme].line, linewidth=1.2, linestyle=(0, (4, 4)))
    for method, curve, scores, width, alpha in (
        ("plain", plain, record.baseline_scores, 5.0, 0.7),
        ("split", last, record.scores, 1.8, 1.0),
    ):
        if curve is None:
            continue
        label = method
        if area := scores.get("auc"):
            label += f", AUC {area.value:.4f}"
            if area.low is not None and area.high is not None:
                label += f" [{area.low:.4f}, {area.high:.4f}]"
        axes.plot(
            (0.0, *curve.false_positive_rate),
            (0.0, *curve.true_positive_rate),
            color=METHOD_COLOURS[method],
            linewidth=width,
            alpha=alpha,
            label=label,
        )
    axes.set_xlabel("false positive rate (share of negatives)")
    axes.set_ylabel("true positive rate (share of positives)")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.02)
    return finish(figure, axes, theme, "ROC on the test rows", record, legend="lower right")


def draw_seconds(record: RunRecord, theme: Theme = "light") -> "Figure | None":
    """Seconds of every epoch; each plain loop as its median with the range of its repeats."""
    if not record.epoch_seconds and not record.loop_seconds:
        return None
    figure, axes = canvas(theme)
    first = record.epochs[0].epoch if record.epochs else 1
    count = max(len(record.epoch_seconds), 1)
    for loop, seconds in record.loop_seconds.items():
        middle = statistics.median(seconds)
        axes.axhspan(min(seconds), max(seconds), color=METHOD_COLOURS[loop], alpha=0.15, linewidth=0)
        axes.axhline(middle, color=METHOD_COLOURS[loop], linewidth=1.8, label=f"{LOOP_LABELS[loop]} (median, range)")
    if record.epoch_seconds:
        axes.plot(
            range(first, first + count),
            record.epoch_seconds,
            color=SPLIT,
            linewidth=1.8,
            marker="o",
            markersize=3.5,
            label=record.method,
        )
    axes.set_xlim(first - 0.5, first + count - 0.5)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("epoch")
    axes.set_ylabel("seconds per epoch (s)")
    whole_epochs(axes)
    return finish(figure, axes, theme, "Seconds per epoch", record, legend="best")


def draw_bytes(record: RunRecord, theme: Theme = "light") -> "Figure | None":
    """Bytes per link of the whole run; sealed envelopes that the server forwards have their own bars."""
    bars = [(_arrow(link), size, SPLIT) for link, size in record.payload_bytes.items()]
    bars += [(f"{_arrow(link)} (sealed)", size, RELAYED) for link, size in record.relayed_bytes.items()]
    if not bars:
        return None
    largest = max(size for _, size, _ in bars)
    unit, scale = next(((unit, scale) for unit, scale in BYTE_UNITS if largest >= scale), ("B", 1.0))
    figure, axes = canvas(theme, height=1.9 + 0.36 * len(bars))
    places = range(len(bars))
    axes.barh(places, [size / scale for _, size, _ in bars], color=[colour for _, _, colour in bars], height=0.66)
    axes.set_yticks(places, [name for name, _, _ in bars], parse_math=False)
    axes.invert_yaxis()
    for place, (_, size, _) in enumerate(bars):
        axes.annotate(
            payload(size),
            (size / scale, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=INKS[theme].text,
        )
    axes.set_xlim(0, (largest / scale or 1) * 1.18)
    axes.set_xlabel(f"payload, whole run ({unit})")
    axes.set_ylabel("sender → receiver")
    axes.grid(visible=False, axis="y")
    return finish(figure, axes, theme, "Bytes per link", record, legend=None)


def _loss_unit(record: RunRecord) -> str:
    """Cross entropies are in nats; a squared error is in the square of the target's unit."""
    loss = record.network.get("loss")
    if loss in ("binary", "multiclass"):
        return " (nats)"
    return " (squared unit of the target)" if loss == "regression" else ""


def _arrow(link: str) -> str:
    return link.replace(">", " → ")
