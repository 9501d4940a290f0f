"""coordinator.cli.event_lines: what a run's events say on the screen, also after the wire made floats of lists."""

from coordinator.cli.event_lines import line_of
from coordinator.event_message import decode_event, encode_event


def said(event, **fields):
    return line_of(decode_event(encode_event(0, {"time": "t", "event": event, **fields})))


def test_an_event_without_a_line_says_nothing():
    assert said("barrier", barrier=3) == ""


def test_classes_that_a_party_lacks():
    assert (
        said("classes_missing", party="south", classes=[7])
        == "south has no rows of class 7, and gets no generator of them"
    )
    assert "of classes 3, 7, and" in said("classes_missing", party="south", classes=[7, 3])


def test_the_schedule_puts_classes_with_the_same_steps_together():
    alike, other = {"north": 5, "south": 2}, {"north": 4, "south": 0}
    groups = [{"classes": [0], "steps": alike}, {"classes": [1, 2], "steps": alike}, {"classes": [3], "steps": other}]
    assert said("schedule", policy="proportional", groups=groups).splitlines() == [
        "steps by proportional",
        "  classes 0, 1, 2: north 5, south 2 steps an epoch",
        "  class 3: north 4, south 0 steps an epoch",
    ]


def test_a_schedule_in_which_nothing_is_exchanged_says_so():
    groups = [{"classes": [0], "steps": {"a": 5, "b": 0}}, {"classes": [1], "steps": {"a": 0, "b": 5}}]
    assert "nothing is exchanged" in said("schedule", policy="equal_steps", groups=groups)


def test_a_classifier_names_source_judge_and_interval():
    accuracy = {"value": 0.93, "low": 0.9, "high": 0.95, "n": 300}
    assert said("classifier", source="all", party="south", rows=3000, accuracy=accuracy) == (
        "classifier trained on 3000 rows of all, on held-out rows of south: accuracy 0.9300 (0.9000–0.9500, n = 300)"
    )


def test_samples_say_where_they_are():
    assert "40 synthetic rows of a in samples/x.npz" in said("sampled", party="a", rows=40, file="samples/x.npz")
