"""The page's section on parity: medians, gaps and deviations over the seeds of one family, by hand."""

from reading import table_rows

from coordinator.report.benchmarks.page import write_page
from coordinator.report.benchmarks.parity import section


def noted(
    log, seed, split, plain, *, family="f", plan="fraud", protocol="masked_sum", wire=(32, 16, "float32"), **more
):
    scores = {"auc": {"split": split, "plain": plain, "gap": split - plain}}
    figures = {"plan": plan, "protocol": protocol, "seed": seed, "family": family, "scores": scores}
    figures["training_loss"] = {"split": 0.25 + seed, "plain": 0.5 + seed, "gap": -0.25}
    wire = dict(zip(("ring_bits", "fractional_bits", "cut_dtype"), wire, strict=True))
    return log.append("parity", {**figures, **wire, **more})


def test_a_family_is_one_row_over_its_seeds(log, tmp_path):
    for seed, split, plain in ((1, 0.9, 0.8), (2, 0.5, 0.7), (3, 0.7, 0.7)):
        noted(log, seed, split, plain)
    head, row, loss = table_rows(section(log.records("parity"), tmp_path))
    assert len(head) == len(row)
    # gaps 0.1, -0.2, 0: mean -1/30, squares (4/30)^2 + (5/30)^2 + (1/30)^2 = 42/900, over 2, root 0.1528
    assert row == [
        "fraud",
        "`masked_sum`",
        "–",
        "i = 1",
        "32 bits, f = 16",
        "float32",
        "auc",
        "3",
        "0.7000",
        "0.7000",
        "0.2000",
        "1.5e-01",
        "2.0e-01",
    ]
    assert loss[6:] == ["training loss", "3", "2.2500", "2.5000", "0.2500", "0.0e+00", "1.0e+00"]


def test_wires_protocols_and_plans_do_not_mix(log, tmp_path):
    noted(log, 1, 0.9, 0.9)
    noted(log, 1, 0.9, 0.9, family="g", wire=(32, 16, "bfloat16"))
    noted(log, 1, 0.9, 0.9, family="h", protocol="beaver", wire=(64, 20, "float32"))
    noted(log, 1, 0.9, 0.9, family="i")  # of the same name, and another plan by its hash
    found = table_rows(section(log.records("parity"), tmp_path))[1::2]
    assert [(row[1], row[4], row[5], row[7]) for row in found] == [
        ("`masked_sum`", "32 bits, f = 16", "float32", "1"),
        ("`masked_sum`", "32 bits, f = 16", "bfloat16", "1"),
        ("`beaver`", "64 bits, f = 20", "float32", "1"),
        ("`masked_sum`", "32 bits, f = 16", "float32", "1"),
    ]


def test_a_seed_that_was_run_again_counts_once(log, tmp_path):
    noted(log, 1, 0.2, 0.9)
    noted(log, 2, 0.9, 0.9)
    noted(log, 1, 0.90002, 0.9)
    _, row, _ = table_rows(section(log.records("parity"), tmp_path))
    assert row[7] == "2"
    assert row[10] == "2.0e-05"


def test_what_is_on_shares_is_named(log, tmp_path):
    square = {"width": 8, "activation": "square", "interval": 8.0, "approximates": ""}
    cubic = {"width": 4, "activation": "poly3", "interval": 16.0, "approximates": "sigmoid"}
    kinds = [
        {"secret_layers": [], "gradient": "open", "weights": "own"},
        {"secret_layers": [], "gradient": "shared", "weights": "shared"},
        {"secret_layers": [square], "gradient": "open", "weights": "own"},
        {"secret_layers": [square, cubic], "gradient": "shared", "weights": "own"},
        {"secret_layers": [square], "gradient": "shared", "weights": "shared", "server": False},
    ]
    for number, kind in enumerate(kinds):
        noted(log, 1, 0.9, 0.9, family=str(number), parties=number + 2, **kind)
    found = table_rows(section(log.records("parity"), tmp_path))[1::2]
    assert [row[2:4] for row in found] == [
        ["2", "i = 1"],
        ["3", "i = 1: gradient, weights"],
        ["4", "i = 2: 8 square"],
        ["5", "i = 3: 8 square, 4 poly3 sigmoid to ±16; gradient"],
        ["6", "i = 2: 8 square; gradient, weights; no server"],
    ]


def test_a_loss_that_nobody_knows_has_no_row(log, tmp_path):
    record = noted(log, 1, 0.9, 0.9, server=False)
    (row,) = table_rows(
        section([{name: value for name, value in record.items() if name != "training_loss"}], tmp_path)
    )[1:]
    assert row[6] == "auc"


def test_one_seed_has_no_deviation_and_equal_scores_no_gap(log, tmp_path):
    noted(log, 7, 0.8, 0.8)
    _, row, _ = table_rows(section(log.records("parity"), tmp_path))
    assert row[10:] == ["0", "–", "–"]


def test_the_section_stands_on_the_page(log, tmp_path):
    noted(log, 1, 0.9, 0.9)
    assert "## Parity" in write_page(tmp_path, {"parity": section}).read_text()


def test_without_records_there_is_no_section(tmp_path):
    assert section([], tmp_path) == ""
