"""A bad cell: the row's number and the column are named, the cell is in no output, no log and no message."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hand_made_federation import plan_document, write_toml
from shelf_of_tables import SCHEMA, SECRET, people, section, write_csv

from kernel.errors import RowsError
from party.rows.loaders import load_table
from party.rows.schema import TableSettings

FAULTS = {
    "out_of_bounds": 'row 17, column "age": found a value above the range, wanted a finite real number from 0 to 130',
    "not_a_number": 'row 4, column "age": found NaN or infinity, wanted a finite real number from 0 to 130',
    "infinite": 'row 4, column "age": found NaN or infinity (and in 1 more rows)',
    "words": 'row 21, column "age": found text that is not a number',
    "blank": 'row 12, column "age": found a missing cell',
    "ragged": "row 41 has 2 cells, wanted 8 as in the first line",
    "missing": "There is no file",
}


@pytest.mark.e2e
@pytest.mark.parametrize(("table", "sentence"), FAULTS.items(), ids=FAULTS)
def test_a_bad_table_ends_the_run_and_its_cell_stays_at_home(table, sentence, federation):
    outcome = federation.run(("ann", table), ("bob", "people"))
    outcome.refused(2, "ann: ", sentence, f"{table if table != 'missing' else 'nowhere'}.csv")
    assert SECRET not in outcome.out + outcome.err
    written = federation.written()
    assert b"order failed" in written  # what is searched holds the refusal
    assert SECRET.encode() not in written


@pytest.mark.e2e
def test_a_bad_table_to_predict_leaves_the_run_done(trained, federation):
    outcome = federation.tertium("predict", trained, "out_of_bounds")
    outcome.refused(2, 'row 17, column "', "found a value above the range")
    assert SECRET not in outcome.out + outcome.err
    assert SECRET.encode() not in federation.written()
    good = federation.tertium("predict", trained, "people")
    assert good.code == 0, good
    assert "40 rows predicted; the predictions are at bob only" in good.out


@pytest.mark.e2e
def test_a_schema_that_cannot_be_ends_a_local_run_before_it_starts(command, tmp_path):
    """The plan's [local.tables] becomes the parties' own configs, and these refuse it."""
    schema = {**SCHEMA, "age": {"type": "real", "lowest": 0}}
    rows = section(write_csv(tmp_path / "rows.csv", people()), columns=schema)
    document = plan_document(("ann", "rows"), ("bob", "rows"), local={"tables": {"rows": rows}})
    outcome = command("run", write_toml(tmp_path / "trial.toml", document), "--local")
    outcome.refused(
        2, " stopped with exit code 2: ", "unknown key 'tables.rows.columns.age.lowest'; did you mean 'low'?"
    )


@pytest.fixture(params=["csv", "parquet", "npz"])
def age_file(request, tmp_path):
    """``age_file(values)``: a file of one column, in each format."""

    def write(values):
        path = tmp_path / f"rows.{request.param}"
        if request.param == "csv":
            path.write_text("age\n" + "".join(f"{value}\n" for value in values))
        elif request.param == "parquet":
            pq.write_table(pa.table({"age": values}), path)
        else:
            np.savez(path, age=np.array(values))
        return path

    return write


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf"), -0.5, 4711.0815])
def test_no_format_lets_a_bad_number_in_or_its_text_out(bad, age_file):
    settings = TableSettings(source=str(age_file([30.0, 31.5, bad, 40.0])), columns={"age": SCHEMA["age"]})
    with pytest.raises(RowsError) as caught:
        load_table("rows", settings, data_directory=None)
    assert 'row 3, column "age"' in str(caught.value)
    assert str(bad) not in str(caught.value).replace("NaN or infinity", "")
    assert caught.value.__cause__ is None  # no other error's text, which could quote the cell, hangs below it
