"""Forty people as three parties hold them, and a shelf of tables with one fault each."""

import csv
import io
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = dict[str, str]

SECRET = "4711.0815"
"""A cell outside every schema's bounds; it may stand in its own file and nowhere else."""
PEOPLE = 40
COLUMNS = {"ann": ["age", "income"], "bob": ["weight", "pulse"], "cat": ["height", "steps"]}
"""What each party trains on; every table holds all columns, so that any party can bring any table."""
SCHEMA: dict[str, dict[str, Any]] = {
    "age": {"type": "real", "low": 0, "high": 130},
    "income": {"type": "real", "low": -1e6, "high": 1e6},
    "weight": {"type": "real", "low": 0, "high": 500},
    "pulse": {"type": "integer", "low": 0, "high": 300},
    "height": {"type": "real", "low": 0, "high": 3},
    "steps": {"type": "integer", "low": 0},
    "outcome": {"type": "boolean"},
}


def people() -> list[Row]:
    """The outcome follows from age and weight."""
    draw = random.Random(7)
    rows = []
    for number in range(PEOPLE):
        age, weight = draw.uniform(20, 80), draw.uniform(50, 110)
        rows.append(
            {
                "id": f"p{number:03d}",
                "age": f"{age:.2f}",
                "income": f"{draw.gauss(30000, 9000):.2f}",
                "weight": f"{weight:.2f}",
                "pulse": str(draw.randint(50, 110)),
                "height": f"{draw.uniform(1.5, 2):.2f}",
                "steps": str(draw.randint(500, 12000)),
                "outcome": str(int(age + weight > 130)),
            }
        )
    return rows


def changed(rows: Sequence[Row], number: int, **cells: str) -> list[Row]:
    """The rows with some cells of row ``number`` (from 1) replaced."""
    return [{**row, **cells} if place == number else row for place, row in enumerate(rows, 1)]


def write_csv(path: Path, rows: Sequence[Row], *more_lines: str) -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue() + "".join(f"{line}\n" for line in more_lines))
    return path


def section(source: Path, **options: Any) -> dict[str, Any]:
    """A [tables.NAME] section."""
    return {"source": str(source), "id": "id", "columns": SCHEMA, **options}


def shelf(directory: Path) -> dict[str, dict[str, Any]]:
    """Table name -> section of a party's config. Files are written to ``directory``; that of `missing` is not."""
    rows = people()
    permuted = random.Random(11).sample(rows, len(rows))
    files = {
        "people": rows,
        "permuted": permuted,
        "short": rows[:-3],
        "doubled": changed(rows, 9, id=rows[1]["id"]),
        "strangers": changed(rows, 5, id="p999"),
        "out_of_bounds": changed(rows, 17, age=SECRET, weight=SECRET),
        "not_a_number": changed(rows, 4, age="nan"),
        "infinite": changed(changed(rows, 4, age="inf"), 6, age="-inf"),
        "words": changed(rows, 21, age=f"about {SECRET}"),
        "blank": changed(rows, 12, age=""),
    }
    tables = {name: section(write_csv(directory / f"{name}.csv", content)) for name, content in files.items()}
    tables["ragged"] = section(write_csv(directory / "ragged.csv", rows, f"p998,{SECRET}"))
    tables["as_filed"] = {**tables["people"], "align": "file_order"}
    tables["permuted_as_filed"] = {**tables["permuted"], "align": "file_order"}
    tables["missing"] = section(directory / "nowhere.csv")
    return tables
