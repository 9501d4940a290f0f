import pytest
from sklearn import datasets

from party.rows.builtin_schema import SCHEMAS


@pytest.mark.parametrize("name", ["breast_cancer", "wine", "digits", "diabetes"])
def test_scikit_learn_tables_have_the_names_written_down_here(name: str) -> None:
    load = {
        "breast_cancer": datasets.load_breast_cancer,
        "wine": datasets.load_wine,
        "digits": datasets.load_digits,
        "diabetes": datasets.load_diabetes,
    }[name]
    assert list(SCHEMAS[name]()) == [*(str(feature) for feature in load().feature_names), "target"]


@pytest.mark.parametrize(
    ("name", "columns", "encoded_features"),
    [("fraud", 30, 29), ("distress", 87, 555), ("mnist", 785, 784), ("adult", 16, 108)],
)
def test_sizes(name: str, columns: int, encoded_features: int) -> None:
    labels = {"y", "distressed", "fd_cont", "target", "income", "split"}
    schema = SCHEMAS[name]()
    assert len(schema) == columns
    width = sum(len(column.categories) or 1 for key, column in schema.items() if key not in labels)
    assert width == encoded_features


@pytest.mark.parametrize("name", list(SCHEMAS))
def test_labels_come_last(name: str) -> None:
    label_count = {"distress": 2}.get(name, 1)
    labels = set(list(SCHEMAS[name]())[-label_count:])
    assert labels <= {"y", "distressed", "fd_cont", "target", "income"}
