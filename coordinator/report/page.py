"""The report of a run: one HTML file that needs nothing else, with images as data URIs and without a script.

Names in a log were written by other organisations: Jinja's autoescape is on, and the page
forbids scripts and addresses by its content policy.
"""

import statistics
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coordinator.report import quantities
from coordinator.report.events import of_kind
from coordinator.report.gan.gan_record import is_gan_run
from coordinator.report.gan.section import gan_content
from coordinator.report.inline import data_uri
from coordinator.report.plots import LOOP_LABELS, render_plots, write_plots
from coordinator.report.privacy.plots import PREFIX
from coordinator.report.privacy.section import privacy_section
from coordinator.report.privacy.verdict import LIMITS
from coordinator.report.privacy.words import MEASURE_WORDS
from coordinator.report.run_record import RunRecord, read_run
from coordinator.report.timeline import outcome, timeline

if TYPE_CHECKING:
    from jinja2 import Environment

Disclosure = tuple[str, str, str]

SCORE_NAMES: Mapping[str, str] = {
    "auc": "AUC",
    "macro_auc": "macro AUC",
    "mean_squared_error": "mean squared error",
    "r_squared": "R²",
    "log_loss": "log loss (nats)",
}
PLOT_NAMES: Mapping[str, str] = {
    "loss": "Loss per epoch, split and plain",
    "roc": "ROC on the test rows, split and plain",
    "seconds": "Seconds per epoch",
    "bytes": "Bytes per link",
    "losses": "Losses of every net per epoch",
    "accuracy": "Accuracy of classifiers on real held-out rows, by what they learned from",
    "membership": "Membership attacks by class, beside chance",
    "histograms": "Scores of discriminators on training and held-out rows",
}


def write_report(run_directory: Path, disclosures: Sequence[Disclosure] = ()) -> Path:
    """Writes ``report.html`` and ``plots/*.png`` of a run, replacing older ones; returns the page's path.

    Args:
      run_directory: ``runs/<id>/`` with events.jsonl, metrics.json or both.
      disclosures: rows (role, what it saw, why) of the threat table for this run's protocol.

    Raises:
      BadInputError: the directory holds no run.
    """
    record = read_run(run_directory)
    light = {path.stem: path.read_bytes() for path in write_plots(run_directory)}
    gan = is_gan_run(record)
    content = _common(record, disclosures, light, render_plots(record, "dark"))
    content |= gan_content(record) if gan else _split_content(record)
    page = _templates().get_template("gan.html.jinja" if gan else "page.html.jinja").render(**content)
    path = run_directory / "report.html"
    unfinished = path.with_suffix(".html.part")
    unfinished.write_text(page, encoding="utf-8")
    return unfinished.replace(path)


@lru_cache(maxsize=1)
def _templates() -> "Environment":
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    def read(name: str) -> str:
        return resources.files("coordinator.report").joinpath(name).read_text(encoding="utf-8")

    return Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=FunctionLoader(read)
    )


def _common(
    record: RunRecord,
    disclosures: Sequence[Disclosure],
    light: Mapping[str, bytes],
    dark: Mapping[str, bytes],
) -> dict[str, Any]:
    """What every run's page has."""
    return {
        "run": record.run,
        "job": record.metrics.get("job") or "",
        "plan_hash": record.metrics.get("plan_hash") or _submitted_hash(record),
        "caption": record.caption(),
        "outcome": outcome(record.events),
        "epoch": quantities.duration(_median(record.epoch_seconds)),
        "links": _link_rows(record),
        "relayed": [(_arrow(link), quantities.payload(size)) for link, size in sorted(record.relayed_bytes.items())],
        "rounds": quantities.count(record.rounds),
        "network": _network_rows(record),
        "parties": [
            (
                party.name,
                quantities.count(party.rows),
                quantities.count(party.train_rows),
                quantities.count(party.test_rows),
                quantities.count(party.columns),
            )
            for party in record.parties
        ],
        "timeline": timeline(record.events),
        "disclosures": disclosures,
        "plots": [_picture(name, light, dark) for name in light if not name.startswith(PREFIX)],
        "leakage_plots": [_picture(name, light, dark) for name in light if name.startswith(PREFIX)],
        "versions": sorted((str(name), str(version)) for name, version in _mapping(record, "versions").items()),
    }


def _split_content(record: RunRecord) -> dict[str, Any]:
    """What the page of a split network has beside that."""
    return {
        "scores": _score_rows(record),
        "times": _time_rows(record),
        "tiles": _tiles(record),
        "released": _released(record),
        "privacy": privacy_section(record),
        "rules": {name: f"{100 * limit:.0f} %" for name, limit in LIMITS.items()},
        "recoveries": _recoveries(record),
    }


def _picture(name: str, light: Mapping[str, bytes], dark: Mapping[str, bytes]) -> tuple[str, str, str]:
    """(what it shows, light image, dark image)"""
    words = PLOT_NAMES.get(name) or f"{MEASURE_WORDS[name.removeprefix(PREFIX)]}: attacks, baseline and controls"
    return words, data_uri(light[name]), data_uri(dark[name])


def _recoveries(record: RunRecord) -> str:
    """The picture of recovered rows, where the code that measured them made one."""
    path = record.directory / "plots" / "recoveries.png"
    return data_uri(path.read_bytes()) if path.is_file() else ""


def _tiles(record: RunRecord) -> list[tuple[str, str, str]]:
    """The few numbers a reader looks for first: (label, value, detail)."""
    tiles = []
    if record.scores:
        name, first = next(iter(record.scores.items()))
        plain = record.baseline_scores.get(name)
        detail = f"plain {quantities.score(plain.value)}" if plain else quantities.interval(first.low, first.high)
        tiles.append((SCORE_NAMES.get(name, name), quantities.score(first.value), detail))
    if record.epoch_seconds:
        tiles.append(("epoch, median", quantities.duration(_median(record.epoch_seconds)), "split training"))
    for loop in record.loop_seconds:
        plain_seconds = quantities.duration(_median(record.loop_seconds[loop]))
        tiles.append(
            (
                f"epoch over {LOOP_LABELS[loop]}",
                quantities.ratio(record.ratio(loop)),
                f"plain {plain_seconds}",
            )
        )
    if record.payload_bytes:
        total = sum(record.payload_bytes.values())
        tiles.append(("payload, all links", quantities.payload(total), f"{quantities.count(record.rounds)} rounds"))
    if found := privacy_section(record).findings:
        tiles.append(("worst leak found", found[0].verdict.word, f"{found[0].what}, by {found[0].reader}"))
    return tiles


def _score_rows(record: RunRecord) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, split in record.scores.items():
        plain = record.baseline_scores.get(name)
        rows.append(
            (
                SCORE_NAMES.get(name, name),
                quantities.score(split.value),
                quantities.interval(split.low, split.high),
                quantities.score(plain.value if plain else None),
                quantities.gap(split.value - plain.value if plain else None),
                quantities.count(split.n),
            )
        )
    return rows


def _time_rows(record: RunRecord) -> list[tuple[str, ...]]:
    """(loop, median plain epoch, range, repeats, split over plain)."""
    return [
        (
            LOOP_LABELS[loop],
            quantities.duration(_median(seconds)),
            f"{quantities.duration(min(seconds))} to {quantities.duration(max(seconds))}",
            quantities.count(len(seconds)),
            quantities.ratio(record.ratio(loop)),
        )
        for loop, seconds in record.loop_seconds.items()
    ]


def _link_rows(record: RunRecord) -> list[tuple[str, str, str, float]]:
    """(link, whole run, median epoch, share of the busiest link in percent)."""
    largest = max(record.payload_bytes.values(), default=0)
    rows = []
    for link, size in sorted(record.payload_bytes.items(), key=lambda item: -item[1]):
        a_epoch = [float(epoch.payload_bytes[link]) for epoch in record.epochs if link in epoch.payload_bytes]
        share = 100 * size / largest if largest else 0.0
        rows.append((_arrow(link), quantities.payload(size), quantities.payload(_median(a_epoch)), round(share, 1)))
    return rows


def _network_rows(record: RunRecord) -> list[tuple[str, str]]:
    rows = [("protocol", record.protocol)] if record.protocol else []
    for name, value in record.network.items():
        if isinstance(value, Mapping):
            text = ", ".join(f"{key.replace('_', ' ')} {_plain(part)}" for key, part in value.items())
        else:
            text = _plain(value)
        rows.append((str(name).replace("_", " "), text))
    return rows


def _released(record: RunRecord) -> list[str]:
    """Sentences on every number in this run that was computed from the label holder's real rows."""
    told = []
    losses = sum(epoch.loss is not None for epoch in record.epochs)
    if losses:
        told.append(f"{losses} mean training losses, one an epoch, over the training rows with their labels.")
    names = sorted({name for evaluation in record.evaluations for name in evaluation.scores} | set(record.scores))
    if names:
        counts = {found.n for found in record.scores.values() if found.n}
        over = f" over {quantities.count(max(counts))} test rows" if counts else ""
        shown = ", ".join(SCORE_NAMES.get(name, name) for name in names)
        times = max(len(record.evaluations), 1)
        told.append(f"{shown}{over}, with their 95 % intervals, at {times} evaluation{'s' if times > 1 else ''}.")
    curves = [evaluation.roc for evaluation in record.evaluations if evaluation.roc]
    if curves:
        points = len(curves[-1].false_positive_rate)
        told.append(
            f"{len(curves)} ROC curve{'s' if len(curves) > 1 else ''} of {points} points on a fixed grid of "
            "false positive rates, not one step a row."
        )
    if record.baseline:
        told.append("The losses and scores of the plain net, which was trained where all rows lay together.")
    for event in of_kind(record.events, "predicted"):
        rows = event.get("rows")
        counted = quantities.count(rows if isinstance(rows, int) else None)
        told.append(f"{counted} predictions, to {event.get('party')} alone.")
    return told


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return " · ".join(str(part) for part in value)
    return str(value)


def _arrow(link: str) -> str:
    return link.replace(">", " → ")


def _mapping(record: RunRecord, key: str) -> Mapping[str, Any]:
    found = record.metrics.get(key)
    return found if isinstance(found, Mapping) else {}


def _submitted_hash(record: RunRecord) -> str:
    return next((str(event.get("plan_hash", "")) for event in of_kind(record.events, "submitted")), "")
