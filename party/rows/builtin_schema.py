"""Public schemas of the builtin tables, written down so that a plan can be checked before a library or file
is opened.

Features come first, in the order of the published file, and labels last: "V1..Amount" or "Company..x83" is
all features.

Adult's categories are UCI's list, plus "?" for its missing values; its age and hours start where UCI's
extraction rule does (AAGE > 16, HRSWK > 0). UCI publishes no upper bounds: those here are round numbers
chosen by us after looking at the file, wide on purpose, and so are not evidence of what a data holder could
declare unseen. The levels of Company, Time and x80 were counted in the distress file. Measures that cannot be
negative start at 0.
"""

from collections.abc import Callable

from party.rows.schema import Column

_REAL = Column(type="real")
_POSITIVE = Column(type="real", low=0)
_BOOLEAN = Column(type="boolean")

_CELL_MEASURES = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave points",
    "symmetry",
    "fractal dimension",
)
_WINE_MEASURES = (
    "alcohol",
    "malic_acid",
    "ash",
    "alcalinity_of_ash",
    "magnesium",
    "total_phenols",
    "flavanoids",
    "nonflavanoid_phenols",
    "proanthocyanins",
    "color_intensity",
    "hue",
    "od280/od315_of_diluted_wines",
    "proline",
)
_DIABETES_MEASURES = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")

ADULT_INCOMES = Column(type="category", categories=("<=50K", ">50K"))


def _category(texts: str) -> Column:
    return Column(type="category", categories=tuple(texts.split()))


def _numbered(last: int) -> Column:
    return Column(type="category", categories=tuple(str(level) for level in range(1, last + 1)))


def _breast_cancer() -> dict[str, Column]:
    names = [f"mean {measure}" for measure in _CELL_MEASURES]
    names += [f"{measure} error" for measure in _CELL_MEASURES]
    names += [f"worst {measure}" for measure in _CELL_MEASURES]
    return {**dict.fromkeys(names, _POSITIVE), "target": _BOOLEAN}


def _wine() -> dict[str, Column]:
    return {**dict.fromkeys(_WINE_MEASURES, _POSITIVE), "target": Column(type="integer", low=0, high=2)}


def _digits() -> dict[str, Column]:
    names = [f"pixel_{row}_{place}" for row in range(8) for place in range(8)]
    return {
        **dict.fromkeys(names, Column(type="real", low=0, high=16, scale="unit")),
        "target": Column(type="integer", low=0, high=9),
    }


def _diabetes() -> dict[str, Column]:
    return {**dict.fromkeys(_DIABETES_MEASURES, _REAL), "target": _REAL}


def _mnist() -> dict[str, Column]:
    names = [f"pixel{index}" for index in range(784)]
    return {
        **dict.fromkeys(names, Column(type="real", low=0, high=1, scale="unit")),
        "target": Column(type="integer", low=0, high=9),
    }


def _fraud() -> dict[str, Column]:
    names = [f"V{index}" for index in range(1, 29)]
    return {**dict.fromkeys(names, _REAL), "Amount": _POSITIVE, "y": _BOOLEAN}


def _distress() -> dict[str, Column]:
    columns = {"Company": _numbered(422), "Time": _numbered(14)}
    columns |= dict.fromkeys((f"x{index}" for index in range(1, 84)), _REAL)
    columns["x80"] = _numbered(37)
    columns["x82"] = columns["x83"] = Column(type="integer")
    return {**columns, "distressed": _BOOLEAN, "fd_cont": _REAL}


def _adult() -> dict[str, Column]:
    return {
        "age": Column(type="integer", low=17, high=120),
        "workclass": _category(
            "? Federal-gov Local-gov Never-worked Private Self-emp-inc Self-emp-not-inc State-gov Without-pay"
        ),
        "fnlwgt": Column(type="integer", low=0, high=2_000_000),
        "education": _category(
            "Preschool 1st-4th 5th-6th 7th-8th 9th 10th 11th 12th HS-grad Some-college Assoc-voc Assoc-acdm "
            "Bachelors Masters Prof-school Doctorate"
        ),
        "education-num": Column(type="integer", low=1, high=16),
        "marital-status": _category(
            "Divorced Married-AF-spouse Married-civ-spouse Married-spouse-absent Never-married Separated Widowed"
        ),
        "occupation": _category(
            "? Adm-clerical Armed-Forces Craft-repair Exec-managerial Farming-fishing Handlers-cleaners "
            "Machine-op-inspct Other-service Priv-house-serv Prof-specialty Protective-serv Sales "
            "Tech-support Transport-moving"
        ),
        "relationship": _category("Husband Not-in-family Other-relative Own-child Unmarried Wife"),
        "race": _category("Amer-Indian-Eskimo Asian-Pac-Islander Black Other White"),
        "sex": _category("Female Male"),
        "capital-gain": Column(type="integer", low=0, high=100_000),
        "capital-loss": Column(type="integer", low=0, high=100_000),
        "hours-per-week": Column(type="integer", low=1, high=168),
        "native-country": _category(
            "? Cambodia Canada China Columbia Cuba Dominican-Republic Ecuador El-Salvador England France "
            "Germany Greece Guatemala Haiti Holand-Netherlands Honduras Hong Hungary India Iran Ireland "
            "Italy Jamaica Japan Laos Mexico Nicaragua Outlying-US(Guam-USVI-etc) Peru Philippines Poland "
            "Portugal Puerto-Rico Scotland South Taiwan Thailand Trinadad&Tobago United-States Vietnam "
            "Yugoslavia"
        ),
        "split": _category("train test"),
        "income": _BOOLEAN,
    }


SCHEMAS: dict[str, Callable[[], dict[str, Column]]] = {
    "breast_cancer": _breast_cancer,
    "wine": _wine,
    "digits": _digits,
    "diabetes": _diabetes,
    "mnist_small": _mnist,
    "mnist": _mnist,
    "fraud": _fraud,
    "distress": _distress,
    "adult": _adult,
}
