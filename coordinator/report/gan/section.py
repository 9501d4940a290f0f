"""The content of a GAN run's page beyond what every run's page has, for its template."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from coordinator.report import quantities
from coordinator.report.events import of_kind
from coordinator.report.gan.gan_record import OWN, GanRecord, MembershipRecord, PreviewRecord, gan_record
from coordinator.report.gan.words import CONTROLS, by_words, policy_words, source_words
from coordinator.report.inline import data_uri
from coordinator.report.run_record import RunRecord
from coordinator.synthetic_rows import grid, png, read_synthetic_rows

_EARLIER = 6
"""Grids of a party before its newest that a page shows, spread over the run."""
_NEWEST_SCALE = 3


@dataclass(frozen=True)
class Samples:
    """One party's grids as data URIs: (epoch, image) of the newest and of some before it."""

    party: str
    newest: tuple[int, str]
    earlier: tuple[tuple[int, str], ...]
    images: bool


def gan_content(record: RunRecord) -> dict[str, Any]:
    """What `page.html.jinja` of this package reads, by name."""
    found = gan_record(record)
    return {
        "policy": policy_words(found.policy),
        "groups": _group_rows(found),
        "class_rows": _class_rows(found),
        "missing": [f"{party} has no row of class {_listed(classes)}." for party, classes in found.missing.items()],
        "accuracy": _accuracy_rows(record, found),
        "tried_at": list(dict.fromkeys(tried.party for tried in found.classifiers)),
        "samples": _samples(found),
        "attacks": _attack_rows(found.pooled),
        "control_note": bool(found.controls),
        "attacks_failed": str(
            next((event.get("sentence") for event in of_kind(record.events, "attacks_failed")), "") or ""
        ),
        "attacks_by_class": _attacks_by_class(found),
        "forecast": _forecast_rows(record, found),
        "mode": found.mode,
        "tiles": _tiles(record, found),
        "released": _released(record, found),
    }


def _tiles(record: RunRecord, found: GanRecord) -> list[tuple[str, str, str]]:
    """The few numbers a reader looks for first: (label, value, detail)."""
    tiles = []
    real = record.scores.get("accuracy.real")
    together = record.scores.get("accuracy.all") or next(iter(record.scores.values()), None)
    if together is not None:
        ceiling = f"real rows reach {quantities.score(real.value)}" if real else "on real held-out rows"
        tiles.append(("accuracy from synthetic rows", quantities.score(together.value), ceiling))
    attacks = [pool for pool in found.pooled if pool.by not in CONTROLS]
    if attacks:
        worst = max(attacks, key=lambda pool: pool.above_chance)
        detail = f"chance {worst.chance:.3f}, {by_words(worst.by)}"
        tiles.append(("strongest membership attack", f"{worst.accuracy.value:.3f}", detail))
    if record.epoch_seconds:
        tiles.append(("epoch, median", quantities.duration(statistics.median(record.epoch_seconds)), record.method))
    if record.payload_bytes:
        total = sum(record.payload_bytes.values())
        tiles.append(("payload, all links", quantities.payload(total), f"{quantities.count(record.rounds)} rounds"))
    tiles.append(("differential privacy", "none", "synthetic rows carry no noise"))
    return tiles


def _attack_rows(pools: Sequence[MembershipRecord]) -> list[tuple[str, ...]]:
    """(whose scores, whose rows, accuracy, chance, above chance, 95 % interval, members, non-members)."""
    return [
        (
            by_words(pool.by),
            pool.party,
            f"{pool.accuracy.value:.3f}",
            f"{pool.chance:.3f}",
            f"{pool.above_chance:+.3f}",
            quantities.interval(pool.accuracy.low, pool.accuracy.high),
            quantities.count(pool.members),
            quantities.count(pool.non_members),
        )
        for pool in pools
    ]


def _attacks_by_class(found: GanRecord) -> list[tuple[str, ...]]:
    """(class, whose rows, accuracy, 95 % interval, chance, AUC) of each party's own discriminators."""
    return [
        (
            attack.label,
            attack.party,
            f"{attack.accuracy.value:.3f}",
            quantities.interval(attack.accuracy.low, attack.accuracy.high),
            f"{attack.chance:.3f}",
            quantities.DASH if attack.auc is None else f"{attack.auc:.3f}",
        )
        for attack in found.membership
        if attack.by == OWN
    ]


def _accuracy_rows(record: RunRecord, found: GanRecord) -> list[tuple[str, ...]]:
    """(trained on, rows, over all parties, 95 % interval, held-out rows, then one cell a party it was tried at)."""
    places = list(dict.fromkeys(tried.party for tried in found.classifiers))
    rows = []
    for source in sorted({tried.source for tried in found.classifiers}, key=_source_order):
        here = {tried.party: tried for tried in found.classifiers if tried.source == source}
        pooled = record.scores.get(f"accuracy.{source}")
        rows.append(
            (
                source_words(source),
                quantities.count(max(tried.rows for tried in here.values())),
                quantities.score(pooled.value if pooled else None),
                quantities.interval(pooled.low, pooled.high) if pooled else quantities.DASH,
                quantities.count(pooled.n if pooled else None),
                *(quantities.score(here[party].accuracy.value if party in here else None) for party in places),
            )
        )
    return rows


def _source_order(source: str) -> tuple[int, str]:
    """Parties, all together, and real rows last: the ceiling at the foot."""
    return {"all": 1, "real": 2}.get(source, 0), source


def _group_rows(found: GanRecord) -> list[tuple[str, ...]]:
    """(classes, then each party's steps an epoch)."""
    return [
        (_listed(group.classes), *(quantities.count(group.steps.get(party, 0)) for party in found.parties))
        for group in found.groups
    ]


def _class_rows(found: GanRecord) -> list[tuple[str, ...]]:
    """(class, then each party's rows)."""
    classes = dict.fromkeys(label for rows in found.class_rows.values() for label in rows)
    return [
        (label, *(quantities.count(found.class_rows[party].get(label, 0)) for party in found.parties))
        for label in classes
    ]


def _forecast_rows(record: RunRecord, found: GanRecord) -> list[tuple[str, str, str]]:
    """(link, last epoch as measured, as forecast) of links that were forecast."""
    last = record.epochs[-1].payload_bytes if record.epochs else {}
    return [
        (link.replace(">", " → "), quantities.payload(last.get(link)), quantities.payload(size))
        for link, size in found.forecast_bytes.items()
    ]


def _samples(found: GanRecord) -> list[Samples]:
    shown = []
    for newest in found.newest_previews():
        before = [preview for preview in found.previews if preview.party == newest.party][:-1]
        spread = before[:: max(1, -(-len(before) // _EARLIER))]
        rows = read_synthetic_rows(newest.path)
        shown.append(
            Samples(
                newest.party,
                (newest.epoch, data_uri(png(grid(rows), _NEWEST_SCALE))),
                tuple((preview.epoch, _thumbnail(preview)) for preview in spread),
                bool(rows.image[0]),
            )
        )
    return shown


def _thumbnail(preview: PreviewRecord) -> str:
    return data_uri(png(grid(read_synthetic_rows(preview.path), 4)))


def _released(record: RunRecord, found: GanRecord) -> list[str]:
    """Sentences on every number and row in this run that was computed from parties' real rows."""
    told = []
    if found.losses:
        told.append(
            f"Mean losses of every party's nets for each class, at {len(found.losses)} epochs; a discriminator's is computed on training rows."
        )
    if found.classifiers:
        tested = sum({tried.party: tried.accuracy.n or 0 for tried in found.classifiers}.values())
        told.append(
            f"{len(found.classifiers)} accuracies of classifiers on {quantities.count(tested)} real held-out rows, with their 95 % intervals; "
            "those called real were trained on real rows, at the party that has them."
        )
    if found.membership:
        told.append(
            f"{len(found.membership)} membership attacks: how discriminators score training rows beside held-out ones."
        )
    if found.histograms:
        told.append("Histograms of those scores, as counts.")
    if found.previews:
        parties = len({preview.party for preview in found.previews})
        told.append(f"{len(found.previews)} previews of synthetic rows, by {parties} parties.")
    for event in of_kind(record.events, "sampled"):
        rows = event.get("rows")
        told.append(
            f"{quantities.count(rows if isinstance(rows, int) else None)} synthetic rows of {event.get('party')}, sampled for the operator."
        )
    return told


def _listed(classes: Sequence[object]) -> str:
    return ", ".join(str(label) for label in classes)
