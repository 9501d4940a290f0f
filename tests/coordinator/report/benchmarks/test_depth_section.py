"""The page's section on depth: which record counts, what each row says, and the plot's numbers."""

from copy import deepcopy

from coordinator.report.benchmarks.depth import draw_depth, section
from coordinator.report.benchmarks.page import write_page
from coordinator.report.plots import RELAYED, SPLIT
from coordinator.sweeps.bench_log import spread_of


def variant(depth, gradient, seconds, megabytes, rounds, *, reference=False):
    both = {"forecast": megabytes * 10**7, "measured": megabytes * 10**7 + 2 * 10**6}
    return {
        "name": "masked_sum, open" if reference else f"i = {depth}, {gradient}",
        "reference": reference,
        "depth": depth,
        "gradient": gradient,
        "weights": "own",
        "protocol": "masked_sum" if reference else "beaver",
        "activations": ["square"] * (depth - 1),
        "seconds": spread_of(seconds),
        "over_reference": spread_of([one / 0.25 for one in seconds]),
        "rounds": {"forecast": rounds * 10, "measured": rounds * 10},
        "busiest_link": "a>neutral-server",
        "busiest_bytes": {name: count // 4 for name, count in both.items()},
        "all_bytes": both,
        "link_bytes": {},
    }


FIGURES = {
    "shape": {"columns": 28, "widths": [8, 8], "rows": 50_000, "batch_rows": 5000, "parties": 2},
    "rows_are": "real",
    "steps": 10,
    "epochs": 2,
    "repeats": 3,
    "stopped": {"i = 3, no server": "party-a: the label head left [-32, 32]"},
    "variants": [
        variant(1, "open", [0.25, 0.25, 0.25], 1, 2, reference=True),
        variant(1, "open", [0.5, 0.5, 0.75], 2, 3),
        variant(2, "open", [1, 1, 2], 8, 11),
        variant(1, "shared", [0.75, 0.75, 1], 3, 5),
        variant(2, "shared", [1.5, 2, 4], 10, 12),
    ],
}


def noted(log, plan="fraud", **changes):
    return log.append("depth", {"plan": plan, **deepcopy(FIGURES), **changes})


def cells(text, start):
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {start} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_rows_say_what_was_forecast_and_what_was_measured(log, tmp_path):
    text = section([noted(log)], tmp_path)
    assert "### fraud: 28-[8, 8], 50,000 real rows, 10 steps of 5,000, 2 parties" in text
    assert cells(text, "masked_sum, open")[1:] == ["–", "0.25 (0.25–0.25)", "1 ×", "1.2", "1", "0.3", "2", "2"]
    deepest = ["square", "2 (1.5–4)", "8 (6–16) ×", "10.2", "10", "2.55", "12", "12"]
    assert cells(text, "i = 2, shared")[1:] == deepest
    assert "i = 3, no server stopped: party-a: the label head left [-32, 32].\n" in text
    assert log.records("depth")[0]["machine"]["processor"] in text


def test_the_newest_record_of_a_plan_counts(log, tmp_path):
    noted(log, repeats=9)
    noted(log)
    noted(log, rows_are="generated")
    noted(log, plan="distress")
    text = section(log.records("depth"), tmp_path)
    heads = [line.split(",")[3] for line in text.splitlines() if line.startswith("### ")]
    assert heads == ["000 real rows", "000 generated rows", "000 real rows"]
    assert text.count("| masked_sum, open |") == 3
    pictures = sorted(file.name for file in tmp_path.glob("*.png"))
    assert pictures == ["depth-distress.png", "depth-fraud-2.png", "depth-fraud.png"]


def test_records_of_the_cost_model_are_passed_over(log, tmp_path):
    old = {"plan": "fraud", "depths": [], "products": [], "server": {}, "shape": {"parties": 2}}
    assert section([log.append("depth", old)], tmp_path) == ""
    assert "## Depth" in section([log.append("depth", old), noted(log)], tmp_path)


def test_the_plot_shows_the_records_numbers(log):
    figure = draw_depth(noted(log))
    left, right = figure.axes
    assert (left.get_yscale(), right.get_yscale()) == ("log", "log")
    assert (left.get_ylabel(), right.get_ylabel()) == ("seconds an epoch", "MB a step, all links")
    times = [list(one[0].get_ydata()) for one in left.containers]
    assert times == [[0.5, 1], [0.75, 2]]
    drawn = [(line.get_color(), [float(value) for value in line.get_ydata()]) for line in right.get_lines()]
    assert drawn[0] == (SPLIT, [1.2, 1.2])
    assert drawn[1] == (RELAYED, [2.2, 8.2])
    assert [values for _, values in drawn[2:]] == [[2.0, 8.0], [3.2, 10.2], [3.0, 10.0]]
    assert list(left.get_xticks()) == [1, 2]
    assert "fraud, 28-[8, 8], 50,000 real rows, 2 parties" in figure.get_supxlabel()


def test_the_section_stands_on_the_page(log, tmp_path):
    noted(log)
    text = write_page(tmp_path, {"depth": section}).read_text()
    assert "](benchmarks/depth-fraud.png)" in text
    assert (tmp_path / "benchmarks" / "depth-fraud.png").read_bytes().startswith(b"\x89PNG")


def test_without_records_there_is_no_section(tmp_path):
    assert section([], tmp_path) == ""
    assert list(tmp_path.iterdir()) == []
