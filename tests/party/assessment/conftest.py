"""Tables that scikit-learn ships, encoded as parties encode them."""

import numpy as np
import pytest

from party.assessment.decoder import DecoderRecipe
from party.assessment.inverse_models import RECIPES


@pytest.fixture(scope="session")
def breast_cancer():
    """float32[569, 30] standardised, and labels of two classes."""
    from sklearn.datasets import load_breast_cancer

    table = load_breast_cancer()
    rows = (table.data - table.data.mean(axis=0)) / table.data.std(axis=0)
    return rows.astype(np.float32), table.target.astype(np.int64)


@pytest.fixture(scope="session")
def digits():
    """float32[1797, 64] between 0 and 1, and ten classes."""
    from sklearn.datasets import load_digits

    table = load_digits()
    return (table.data / 16).astype(np.float32), table.target.astype(np.int64)


@pytest.fixture
def small_recipe(monkeypatch):
    """Attacks of quick effort fit networks that take no time."""
    monkeypatch.setitem(RECIPES, "quick", DecoderRecipe(widths=(32,), epochs=8, patience=3))
