"""Ridge with generalised cross-validation: exact, shrinking, and equal to the textbook."""

import numpy as np
import pytest

from party.assessment.ridge import fit_ridge, standardised


@pytest.mark.parametrize(("rows", "width"), [(40, 5), (6, 20)])
def test_it_is_the_closed_form_at_its_own_penalty_on_both_sides_of_the_gram_matrix(rows, width):
    generator = np.random.default_rng(1)
    x = generator.normal(size=(rows, width))
    y = x @ generator.normal(size=(width, 3)) + generator.normal(size=(rows, 3))
    ridge = fit_ridge(x, y)
    a, b = x - x.mean(axis=0), y - y.mean(axis=0)
    # At the fitted penalty p: (A'A + p) W = A'B; p is read off one equation and must solve all.
    rest = a.T @ b - a.T @ a @ ridge.weights
    penalty = np.vdot(rest, ridge.weights) / np.vdot(ridge.weights, ridge.weights)
    np.testing.assert_allclose(rest, penalty * ridge.weights, atol=1e-8)


def test_generalised_cross_validation_is_the_formula():
    generator = np.random.default_rng(2)
    x, y = generator.normal(size=(12, 3)), generator.normal(size=(12, 2))
    ridge = fit_ridge(x, y)
    a, b = x - x.mean(axis=0), y - y.mean(axis=0)
    rest = a.T @ b - a.T @ a @ ridge.weights
    penalty = np.vdot(rest, ridge.weights) / np.vdot(ridge.weights, ridge.weights)
    hat = a @ np.linalg.solve(a.T @ a + penalty * np.eye(3), a.T) + 1 / 12
    by_hand = 12 * np.sum((b - hat @ b) ** 2) / np.trace(np.eye(12) - hat) ** 2
    assert ridge.error == pytest.approx(by_hand, rel=1e-9)


def test_noise_free_linear_outputs_are_recovered_exactly():
    generator = np.random.default_rng(3)
    x = generator.normal(size=(50, 8))
    y = 2 + x @ generator.normal(size=(8, 4))
    ridge = fit_ridge(x[:20], y[:20])
    np.testing.assert_allclose(ridge(x[20:]), y[20:], atol=1e-6)


def test_outputs_that_have_nothing_to_do_with_the_inputs_are_shrunk_to_their_mean():
    generator = np.random.default_rng(4)
    x, y = generator.normal(size=(500, 10)), generator.normal(size=(500, 5))
    ridge = fit_ridge(x, y)
    assert (
        np.abs(ridge.weights).max() < 0.1
    )  # least squares has standard error 0.045; 5.5 of these at most by shrinking


def test_constant_inputs_give_the_mean():
    y = np.arange(6.0).reshape(6, 1)
    np.testing.assert_allclose(fit_ridge(np.ones((6, 3)), y)(np.ones((2, 3))), [[2.5], [2.5]])


def test_standardised_uses_leaked_rows_only_and_drops_constant_columns():
    values = np.array([[0, 5], [2, 5], [100, 6]], np.float32)
    np.testing.assert_allclose(standardised(values, np.array([0, 1])), [[-1, 0], [1, 0], [99, 0]])


def test_the_same_fit_is_made_once_and_another_is_another():
    generator = np.random.default_rng(8)
    inputs, outputs = generator.normal(size=(20, 3)), generator.normal(size=(20, 2))
    first = fit_ridge(inputs, outputs)
    assert fit_ridge(inputs.copy(), outputs.copy()) is first
    changed = outputs.copy()
    changed[7, 1] += 1e-9
    others = [
        fit_ridge(inputs, changed),
        fit_ridge(inputs[::-1].copy(), outputs),
        fit_ridge(inputs.astype("f4"), outputs),
    ]
    assert all(one is not first for one in others)
    assert not np.array_equal(others[0].weights, first.weights)


def test_old_fits_are_forgotten():
    generator = np.random.default_rng(9)
    inputs, outputs = generator.normal(size=(8, 2)), generator.normal(size=(8, 1))
    first = fit_ridge(inputs, outputs)
    for _ in range(64):
        fit_ridge(generator.normal(size=(8, 2)), outputs)
    again = fit_ridge(inputs, outputs)
    assert again is not first
    np.testing.assert_array_equal(again.weights, first.weights)
