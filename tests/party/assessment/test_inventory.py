"""Which epochs of a recording count, and where the rows of a piece stand: worked on a few rows."""

import numpy as np
import pytest

from kernel.batch_order import batch_seed, epoch_order
from kernel.errors import BadInputError
from party.assessment.inventory import Inventory, RowPlaces, whole_passes
from party.assessment.recorded_frames import Frame
from party.assessment.recorded_view import kept_epochs
from protos.v1 import common_pb2


def frame(epoch, step, rows, *, generation=1, purpose=common_pb2.PURPOSE_TRAIN, kind="cut_gradient"):
    header = common_pb2.StepHeader(
        run="r", generation=generation, epoch=epoch, step=step, purpose=purpose, sender="neutral-server"
    )
    tensor = common_pb2.Tensor(dtype=common_pb2.D_TYPE_FLOAT32, shape=[rows, 2])
    return Frame(kind, header, tensor, bytes(8 * rows))


def inventory(*frames):
    found = Inventory()
    for one in frames:
        found.take(one)
    return found


def test_an_epoch_is_whole_when_all_rows_came():
    found = inventory(frame(1, 0, 3), frame(1, 1, 2), frame(2, 0, 3))
    assert found.whole("cut_gradient", "neutral-server", 5) == {(1, 1)}
    assert found.received == {"cut_gradient": {"messages": 3, "numbers": 16, "bytes": 64}}


def test_a_repeat_does_not_make_an_epoch_whole():
    found = inventory(frame(1, 0, 3), frame(1, 0, 3))
    assert found.whole("cut_gradient", "neutral-server", 6) == set()


def test_predictions_are_another_runs_matter():
    found = inventory(frame(0, 0, 3, purpose=common_pb2.PURPOSE_PREDICT))
    assert (found.received, found.whole("cut_gradient", "neutral-server", 3)) == ({}, set())


def test_of_an_epoch_trained_twice_the_last_generation_counts():
    twice = inventory(frame(1, 0, 5), frame(2, 0, 5), frame(2, 0, 5, generation=2), frame(3, 0, 4, generation=2))
    assert whole_passes([twice.whole("cut_gradient", "neutral-server", 5)], "r") == {1: 1, 2: 2}


def test_an_epoch_must_be_whole_in_every_stream():
    assert whole_passes([{(1, 1), (2, 1)}, {(2, 1), (3, 1)}], "r") == {2: 1}
    with pytest.raises(BadInputError, match="no epoch of run 'r' whole at every role"):
        whole_passes([{(1, 1)}, {(2, 1)}], "r")


def test_pieces_of_a_step_follow_each_other_in_row_order():
    train = np.array([1, 3, 4, 6, 7, 9], np.int64)
    places = RowPlaces(train, train, seed=5, batch_rows=4)
    order = epoch_order(train, batch_seed(5, 2))
    pieces = {(0, 0): 3, (0, 1): 1, (1, 0): 2}
    found = [train[places.of(2, pieces, *piece)] for piece in pieces]
    assert [list(one) for one in found] == [list(order[:3]), list(order[3:4]), list(order[4:])]


def test_rows_that_a_view_does_not_keep_have_no_place():
    train = np.arange(6, dtype=np.int64)
    places = RowPlaces(train, np.array([2, 5], np.int64), seed=5, batch_rows=6)
    found = places.of(1, {(0, 0): 6}, 0, 0)
    order = epoch_order(train, batch_seed(5, 1))
    assert {int(row): int(place) for row, place in zip(order, found, strict=True)} == {
        0: -1,
        1: -1,
        2: 0,
        3: -1,
        4: -1,
        5: 1,
    }


@pytest.mark.parametrize(
    ("epoch_bytes", "most", "wanted"),
    [
        (1, None, [1, 2, 3, 4, 5]),
        (1 << 28, None, [1, 3, 4, 5]),  # four of them fill a gibibyte
        (1 << 40, None, [1, 5]),  # never fewer than two on its own account
        (1, 3, [1, 4, 5]),
        (1, 1, [5]),
        (1, 9, [1, 2, 3, 4, 5]),
    ],
)
def test_the_first_epoch_and_the_last_ones_are_kept(epoch_bytes, most, wanted):
    assert kept_epochs([1, 2, 3, 4, 5], epoch_bytes, most) == wanted


def test_no_epoch_cannot_be_kept():
    with pytest.raises(BadInputError, match="--epochs is 0"):
        kept_epochs([1], 1, 0)
