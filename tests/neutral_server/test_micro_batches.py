"""neutral_server.session where a step's rows come in pieces: each is answered on its own, weights move once."""

import numpy as np
import pytest
from test_session import (
    BATCH,
    EPOCH,
    EVALUATE,
    PARTIES,
    RING,
    ROWS,
    TRAIN,
    WIDTH,
    Federation,
    activation_of,
    block,
    dh,
    frame_of,
    gradient,
    gradient_of,
    refused,
    z1,
)

from kernel.batch_order import batch_sizes, micro_batches
from kernel.errors import StepError, WireError
from kernel.randomness import StreamPosition
from kernel.run_state import RunState
from kernel.wire.codec import encode_ring

PIECES = 2


class Pieces(Federation):
    """The same federation, cut into micro-batches: the pad is one per step, in pieces as the parties use it."""

    def __init__(self):
        super().__init__(micro_batches=PIECES)
        self.session.open_pass(EPOCH, TRAIN, ROWS, BATCH)

    def piece(self, party, step, number, **header):
        rows = batch_sizes(ROWS, BATCH)[step]
        words = RING.encode(block(party, step, rows), "z1")
        self.masks[party].apply(words, StreamPosition(EPOCH, step, TRAIN))
        words = words[micro_batches(rows, PIECES)[number]]
        return frame_of(
            party, step, share=encode_ring(words, RING.fractional_bits), **{"micro_batch": number, **header}
        )


def cut(step, number):
    return micro_batches(batch_sizes(ROWS, BATCH)[step], PIECES)[number]


def piece_of_gradient(step, number):
    return gradient(step, dh(step)[cut(step, number)], micro_batch=number)


@pytest.fixture
def pieces():
    return Pieces()


def test_pieces_are_answered_as_they_come_and_the_stack_moves_with_the_last(pieces):
    """The first piece is forward and back before the second has left the parties."""
    for number in range(PIECES):
        for party in PARTIES:
            pieces.deliver(party, pieces.piece(party, 0, number))
        (frame,) = pieces.sent("b")
        assert frame.message.header.micro_batch == number
        assert np.abs(activation_of(frame, rows=2) - z1(0)[cut(0, number)]).max() < 1e-4
        assert not pieces.stack.bias.any()
        pieces.deliver("b", piece_of_gradient(0, number))
        for party in PARTIES:
            (answer,) = pieces.sent(party)
            assert (answer.message.header.step, answer.message.header.micro_batch) == (0, number)
            assert np.array_equal(gradient_of(answer, rows=2), dh(0)[cut(0, number)])
    assert np.allclose(pieces.stack.bias, -dh(0).mean(axis=0), atol=1e-6)


def test_shares_of_all_pieces_may_be_ahead_of_the_gradients(pieces):
    for step in range(3):
        for party in PARTIES:
            for number in range(PIECES):
                pieces.deliver(party, pieces.piece(party, step, number))
        for number in range(PIECES):
            pieces.deliver("b", piece_of_gradient(step, number))
    assert pieces.session.state is RunState.READY
    assert pieces.stack.warmed[0] == [[1, 1], [2, 2]]
    assert pieces.kinds() == {
        "a": ["cut_gradient"] * 6,
        "b": ["cut_activation", "cut_activation", "cut_gradient", "cut_gradient"] * 3,
        "c": ["cut_gradient"] * 6,
    }
    moved = -sum(dh(step).mean(axis=0) for step in range(3))
    assert np.allclose(pieces.session.held_state()["bias"], moved, atol=1e-6)


def test_a_repeated_piece_gets_its_own_answer(pieces):
    for number in range(PIECES):
        for party in PARTIES:
            pieces.deliver(party, pieces.piece(party, 0, number))
    pieces.deliver("b", piece_of_gradient(0, 0))
    first = {party: pieces.sent(party) for party in PARTIES}
    pieces.deliver("a", pieces.piece("a", 0, 0))
    assert pieces.sent("a") == first["a"]
    pieces.deliver("b", piece_of_gradient(0, 0))
    assert pieces.sent("b") == [first["b"][0], first["b"][2]]
    pieces.deliver("a", pieces.piece("a", 0, 1))
    assert pieces.sent("a") == []  # its gradient is still to come


def test_a_piece_that_the_step_has_not_fails_the_run(pieces):
    refused(
        pieces, "a", pieces.piece("a", 0, 1, micro_batch=2), StepError, "'a' sent micro-batch 2 of step 0, which has 2"
    )


def test_gradients_out_of_order_fail_the_run(pieces):
    for number in range(PIECES):
        for party in PARTIES:
            pieces.deliver(party, pieces.piece(party, 0, number))
    pieces.kinds()
    refused(pieces, "b", piece_of_gradient(0, 1), StepError, "before the one ahead of it")


def test_a_gradient_before_its_pieces_activation_fails_the_run(pieces):
    for party in PARTIES:
        pieces.deliver(party, pieces.piece(party, 0, 0))
    pieces.kinds()
    refused(pieces, "b", piece_of_gradient(0, 1), StepError, "before its activation was given")


def test_a_whole_step_where_a_piece_is_due_fails_the_run(pieces):
    whole = RING.encode(block("a", 0), "z1")
    frame = frame_of("a", 0, share=encode_ring(whole, RING.fractional_bits))
    refused(pieces, "a", frame, WireError, "share of 'a' in step 0 has shape")


def test_a_forward_only_pass_is_never_cut(pieces):
    for step in range(3):
        for number in range(PIECES):
            for party in PARTIES:
                pieces.deliver(party, pieces.piece(party, step, number))
            pieces.deliver("b", piece_of_gradient(step, number))
    pieces.kinds()
    pieces.session.open_pass(EPOCH, EVALUATE, BATCH, BATCH)
    for party in PARTIES:
        pieces.deliver(party, pieces.share(party, 0, EVALUATE, rows=BATCH))
    (frame,) = pieces.sent("b")
    assert activation_of(frame).shape == (BATCH, WIDTH)
