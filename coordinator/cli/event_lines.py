"""The line on the screen of an event, for events that have one."""

from collections.abc import Callable, Iterable
from typing import Any

from coordinator.run_store import Event


def line_of(event: Event) -> str:
    """Without markup; empty for an event that has no line."""
    line = _LINES.get(event["event"])
    return "" if line is None else line(event)


def _prepared(event: Event) -> str:
    return (
        f"{event['party']}: {event['rows']} rows ({event['train_rows']} to train), {event['columns']} encoded columns"
    )


def _resumed(event: Event) -> str:
    return f"resumed as generation {event['generation']} from barrier {event['barrier']}"


def _unscored(event: Event) -> str:
    return f"trained to its end, and not scored on test rows: {event['sentence']}"


def _predicted(event: Event) -> str:
    return f"{event['rows']} rows predicted; the predictions are at {event['party']} only, in {event['file']}"


def _sampled(event: Event) -> str:
    return f"{event['rows']} synthetic rows of {event['party']} in {event['file']} of the run directory"


def _classes_missing(event: Event) -> str:
    return f"{event['party']} has no rows of {_classes(event['classes'])}, and gets no generator of them"


def _schedule(event: Event) -> str:
    """Classes with the same steps together; where no party shares a class with another, that nothing is exchanged."""
    alike: dict[tuple[tuple[str, int], ...], list[int]] = {}
    for group in event["groups"]:
        alike.setdefault(tuple(group["steps"].items()), []).extend(group["classes"])
    lines = [
        f"{_classes(classes)}: {', '.join(f'{party} {count}' for party, count in steps)} steps an epoch"
        for steps, classes in alike.items()
    ]
    if not any(sum(count > 0 for _, count in steps) > 1 for steps in alike):
        lines.append("no class has rows at two parties: nothing is exchanged, these are plain GANs")
    return "\n".join([f"steps by {event['policy']}", *(f"  {line}" for line in lines)])


def _preview(event: Event) -> str:
    return f"epoch {event['epoch']}: {event['rows']} synthetic rows of {event['party']} in {event['file']}"


def _classifier(event: Event) -> str:
    found = event["accuracy"]
    return (
        f"classifier trained on {event['rows']} rows of {event['source']}, on held-out rows of {event['party']}: accuracy "
        f"{found['value']:.4f} ({found['low']:.4f}–{found['high']:.4f}, n = {found['n']})"
    )


def _classes(labels: Iterable[Any]) -> str:
    found = sorted(int(label) for label in labels)  # a list of numbers comes over the wire as floats
    return f"class {found[0]}" if len(found) == 1 else f"classes {', '.join(map(str, found))}"


_LINES: dict[str, Callable[[Event], str]] = {
    "prepared": _prepared,
    "resumed": _resumed,
    "unscored": _unscored,
    "predicted": _predicted,
    "sampled": _sampled,
    "classes_missing": _classes_missing,
    "schedule": _schedule,
    "preview": _preview,
    "classifier": _classifier,
}
