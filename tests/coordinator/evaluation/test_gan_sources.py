"""coordinator.evaluation.gan.sources: which synthetic rows a classifier is trained on."""

import numpy as np

from coordinator.evaluation.gan import sources
from coordinator.synthetic_rows import SyntheticRows


def made(party, labels):
    """Every value says whose it is and which of its class."""
    labels = np.array(labels, np.int64)
    order = np.array([np.flatnonzero(labels[: place + 1] == label).size for place, label in enumerate(labels)])
    values = (party + order / 100).astype(np.float32)[:, None]
    return SyntheticRows(values, labels, (1, 1), ("x",))


NORTH, SOUTH = made(0, [0] * 4 + [1] * 4), made(1, [1] * 8)


def counts(rows):
    return {int(label): int((rows.labels == label).sum()) for label in np.unique(rows.labels)}


def test_a_partys_rows_are_spread_over_its_classes_and_taken_from_the_front():
    found = dict(sources({"north": NORTH, "south": SOUTH}, 7))
    assert counts(found["north"]) == {0: 4, 1: 3}
    assert counts(found["south"]) == {1: 7}
    np.testing.assert_allclose(found["south"].values[:, 0], 1 + np.arange(1, 8) / 100, rtol=1e-6)


def test_all_is_as_many_rows_shared_evenly():
    """7 rows: 4 of the first party, 3 of the second."""
    everybody = dict(sources({"north": NORTH, "south": SOUTH}, 7))["all"]
    assert len(everybody.labels) == 7
    assert (everybody.values[:, 0] < 0.5).sum() == 4
    assert counts(everybody) == {0: 2, 1: 5}


def test_one_party_alone_is_no_all():
    assert [source for source, _ in sources({"north": NORTH}, 4)] == ["north"]
