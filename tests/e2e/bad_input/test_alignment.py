"""Row n must be one person everywhere: what differs is refused before the first step, with the counts."""

from contextlib import closing

import pytest
from local_runs import follow

REFUSED = {
    "short": (("people", "short"), ("different numbers of rows", "37", "40", "one per id")),
    "duplicate ids": (("people", "doubled"), ("bob: Table doubled has 1 duplicate ids among 40 rows",)),
    "a stranger": (("people", "strangers"), ("Same count, different ids or order", "40", 'align = "sort"')),
    "permuted, in file order": (
        ("as_filed", "permuted_as_filed"),
        ("Same count, different ids or order", "40", 'align = "sort"'),
    ),
    "permuted, one of them sorted": (
        ("people", "permuted_as_filed"),
        ("Same count, different ids or order", "40", 'align = "sort"'),
    ),
}


@pytest.mark.e2e
@pytest.mark.parametrize(("tables", "words"), REFUSED.values(), ids=REFUSED)
def test_rows_that_do_not_match_are_refused(tables, words, federation):
    outcome = federation.run(("ann", tables[0]), ("bob", tables[1]))
    outcome.refused(2, *words)
    assert "p001" not in outcome.err  # an id is a row's value, too
    assert "p999" not in outcome.err


@pytest.mark.e2e
def test_a_permuted_file_trains_when_sorted_and_as_if_it_had_been_in_order(federation, trained):
    plan = federation.write_plan(("ann", "people"), ("bob", "permuted")).read_text()
    with closing(federation.client()) as client:
        run, first = client.submit(plan)
        events = list(follow(client, run, first))
        in_order = list(follow(client, trained, 0))
    assert events[-1]["event"] == "done"

    def losses(found):
        return [event["loss"] for event in found if event["event"] == "epoch"]

    # same seed, same keys of initialisation, same rows behind each number: only rounding and masks may differ
    assert losses(events) == pytest.approx(losses(in_order), abs=1e-3)


@pytest.mark.e2e
def test_a_prediction_is_aligned_too(federation, trained):
    federation.tertium("predict", trained, "doubled").refused(2, "Table doubled has 1 duplicate ids among 40 rows")
