"""party.assessment.label_inference.main_direction, beside the singular value decomposition that it stands for."""

import numpy as np
import pytest

from party.assessment.label_inference import main_direction


@pytest.mark.parametrize("off_line", [0.0, 0.01, 0.3])
def test_the_main_direction_is_the_first_singular_vector(off_line):
    """Of gradients on a line, and of such with noise beside it; up to its sign."""
    generator = np.random.default_rng(5)
    values = np.outer(generator.choice([-0.75, 0.25], 400), generator.standard_normal(60)).astype(np.float32)
    values += np.float32(off_line) * generator.standard_normal(values.shape, np.float32)
    wanted = np.linalg.svd(values.astype(np.float64), full_matrices=False)[2][0]
    found = main_direction(values)
    assert abs(abs(wanted @ found) - 1) < 1e-9


def test_gradients_of_zero_have_no_main_direction_and_break_nothing():
    found = main_direction(np.zeros((5, 3), np.float32))
    assert np.linalg.norm(found) == pytest.approx(1)
