"""`sweep.md`: a GAN sweep's figures and tables, made from its records alone."""

from collections.abc import Callable
from pathlib import Path

from coordinator.gan_plan import ALL, REAL
from coordinator.report.benchmarks.page import environment_line, markdown_table
from coordinator.report.quantities import DASH, duration, payload
from coordinator.report.sweeps import gan_plots
from coordinator.report.sweeps.gan_records import (
    PARTY_A,
    PARTY_B,
    Point,
    Sweep,
    accuracy,
    attack,
    chance,
    newest_sweep,
)
from coordinator.sweeps.bench_log import Record
from coordinator.sweeps.gan_sweep import LOG_NAME, SWEEP, sweep_log
from coordinator.sweeps.gan_tasks import Setting
from kernel.errors import BadInputError

PAGE_NAME, PLOT_DIRECTORY = "sweep.md", "sweep"

Draw = Callable[[Sweep, str], Callable[[Path], None] | None]

_FIGURES: tuple[tuple[str, str, Draw, str], ...] = (
    (
        "images",
        "Synthetic rows by fraction (Fig. 4)",
        gan_plots.images,
        "From fractions on at which a method's digits can be read, its generators have learnt more than noise.",
    ),
    (
        "grid",
        "Accuracy over both parties' fractions (Fig. 5)",
        gan_plots.grid,
        "A classifier learns from synthetic rows of party-a, of party-b, or half from each, and is held to real rows.",
    ),
    (
        "accuracy",
        "privGAN against GANs (Fig. 6)",
        gan_plots.accuracy_curves,
        "Beside the GAN with the paper's steps, of which a small fraction gets hardly any, stands one with as many steps as privGAN: "
        "what lies between the two orange and green curves is training, what lies between green and blue is privGAN.",
    ),
    (
        "attack",
        "White-box membership attack (Fig. 7)",
        gan_plots.attack_curves,
        "As many rows as there are members are called members, those with the highest scores of the party's own discriminator.",
    ),
    (
        "attack-classes",
        "The attack by class (Fig. 7)",
        gan_plots.attack_digits,
        "Accuracy less chance; blue is below chance, which says no more than white does.",
    ),
    (
        "weights",
        "The frontier of λ: utility against attack",
        gan_plots.weights,
        "λ weighs how much a generator is paid to be unrecognisable. 0 pays nothing: privGAN is then two GANs.",
    ),
    (
        "skews",
        "Parties with different classes",
        gan_plots.skews,
        "At 0 both parties have all classes; at 1 each has half of them, and privGAN has nobody to compare a class with.",
    ),
)


def write_page(out: Path) -> Path:
    """``sweep.md`` and ``sweep/*.png`` of ``<out>/sweep.jsonl``; returns the page.

    Raises:
      BadInputError: no task was trained yet.
    """
    records = sweep_log(out).records(SWEEP)
    sweep = newest_sweep(records)
    if sweep is None:
        sentences = [str(record["failed"]) for record in records if "failed" in record]
        why = f"the last task failed: {sentences[-1]}" if sentences else "run the sweep without --report-only first"
        raise BadInputError(f"{out / LOG_NAME} has no task that was trained; {why}")
    plots = out / PLOT_DIRECTORY
    plots.mkdir(parents=True, exist_ok=True)
    caption = _caption(sweep)
    parts = [_head(sweep)]
    for name, title, figure, about in _FIGURES:
        draw, file = figure(sweep, caption), plots / f"{name}.png"
        if draw is None:
            file.unlink(missing_ok=True)
            continue
        draw(file)
        parts.append(f"## {title}\n\n{about}\n\n![{title}]({PLOT_DIRECTORY}/{file.name})\n")
    parts += [_table(sweep), _failures(sweep), f"{environment_line(sweep.records[-1])}\n"]
    page = out / PAGE_NAME
    page.write_text("\n".join(part for part in parts if part), encoding="utf-8")
    return page


def _caption(sweep: Sweep) -> str:
    described, training = sweep.described, sweep.described["training"]
    tested = next(iter(sweep.records[-1]["accuracy"].values()))["n"]
    seeds = sweep.seeds
    return (
        f"{described['name']}, size {described['size']}; n = {described['rows']:,} training rows in all, {tested:,} held out; "
        f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}; batches of {training['batch_rows']}; "
        f"{training['epochs'] * training['steps_per_epoch']:,} equal steps"
    )


def _head(sweep: Sweep) -> str:
    described, training, nets = sweep.described, sweep.described["training"], sweep.described["nets"]
    evaluation = described["evaluation"]
    mirrored = (
        "\n* Cells of the grid were trained once for both orders of the parties; the mirrored cell is the same run with the parties exchanged."
        if described["mirrored"]
        else ""
    )
    return f"""# Sweep {described["name"]}, size {described["size"]}

Written by `tertium sweep` from `{LOG_NAME}` beside it; do not edit. {described["about"]}

* Rows: {described["source"]}, {described["rows"]:,} to train; classes {", ".join(map(str, described["classes"]))}, a GAN for each at each party. Fractions are of the training
  rows; the parties' rows are disjoint, and those of a smaller fraction are among those of a larger.
* Nets ({nets["kind"]}): generator {nets["latent"]} → {" → ".join(map(str, nets["generator"]))}, discriminator {" → ".join(map(str, nets["discriminator"]))} → 1, learning rate {nets["learning_rate"]:g}, batches of {training["batch_rows"]}.
* privGAN (mode {described["mode"]}, λ = {described["weight"]:g}) and the GAN with equal steps: {training["epochs"]} epochs of {training["steps_per_epoch"]} steps for every class, whatever the fraction.
* The GAN with the paper's steps: {training["gan_epochs"]} epochs of floor(rows of a class / {training["paper_batch_rows"]}) steps; where that is none (the published code would train for no
  step at all), one step.
* Classifier: {evaluation["epochs"]} epochs on {evaluation["rows"]:,} synthetic rows, on real held-out rows. Attack: {evaluation["members"]} members of a class, or all where there are fewer.{mirrored}
"""


def _table(sweep: Sweep) -> str:
    head = ["task", "party-a", "party-b", "both", "real rows", "attack, own", "chance", "bytes", "time"]
    return "## All tasks\n\n" + markdown_table(head, [_line(record) for record in sweep.records])


def _line(record: Record) -> list[str]:
    one = [record]
    setting = Setting(**{**record["setting"], "fractions": tuple(record["setting"]["fractions"])})
    level = chance(one, "own")
    return [
        str(setting),
        *(_point(accuracy(one, source)) for source in (PARTY_A, PARTY_B, ALL, REAL)),
        _point(attack(one, "own")),
        DASH if level is None else f"{level:.3f}",
        payload(sum(record["bytes"].values())),
        duration(record["task_seconds"]),
    ]


def _point(point: Point | None) -> str:
    return DASH if point is None else f"{point.value:.3f} ({point.low:.3f}–{point.high:.3f})"


def _failures(sweep: Sweep) -> str:
    if not sweep.failed:
        return ""
    lines = [
        f"* {Setting(**{**record['setting'], 'fractions': tuple(record['setting']['fractions'])})}: {record['failed']}"
        for record in sweep.failed
    ]
    return "\n".join(["## Tasks that failed, and are tried again when the sweep is run again\n", *lines, ""])
