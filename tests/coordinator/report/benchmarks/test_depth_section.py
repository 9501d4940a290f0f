"""The page's section on depth: which record counts, what each row says, and the plot's numbers."""

from copy import deepcopy

from coordinator.report.benchmarks.depth import draw_depth, section
from coordinator.report.benchmarks.page import write_page
from coordinator.report.plots import PLAIN, RELAYED, SPLIT
from coordinator.sweeps.bench_log import spread_of


def bytes_of(busiest, total):
    return {"busiest_link": "a>neutral-server", "busiest_bytes": busiest, "all_bytes": total}


def depth(number, busiest, least, ring, plain):
    return {
        "secret_layers": number,
        "kind": "protocol" if number == 1 else "model",
        "opened_words": 10 * number,
        "server_bytes": 0,
        "secret_bytes": 3 * busiest,
        **bytes_of(busiest, 3 * busiest),
        "least": bytes_of(least, 3 * least),
        "ring_ms": spread_of(ring),
        "plain_ms": spread_of(plain),
        "ring_to_plain": spread_of([one / other for one, other in zip(ring, plain, strict=True)]),
    }


FIGURES = {
    "shape": {"columns": 28, "widths": [8, 6, 4], "rows": 5000, "parties": 2},
    "repeats": 3,
    "server": {"protocol": "masked_sum", "ring_bits": 32, "cut_dtype": "float32", **bytes_of(2_000_000, 5_000_000)},
    "depths": [
        depth(1, 3_000_000, 3_000_000, [1, 2, 4], [0.1, 0.2, 0.3]),
        depth(2, 20_000_000, 12_000_000, [10, 20, 30], [1, 1, 2]),
        depth(3, 30_000_000, 15_000_000, [20, 2110, 70_000], [2, 4, 5]),
    ],
    "products": [],
}


def noted(log, plan="fraud", **changes):
    return log.append("depth", {"plan": plan, **deepcopy(FIGURES), **changes})


def cells(text, start):
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_rows_say_what_runs_and_what_is_a_model(log, tmp_path):
    text = section([noted(log)], tmp_path)
    assert cells(text, "masked_sum")[1:5] == ["layers 2 to 3", "2", "1 ×", "5"]
    assert cells(text, "1: protocol `beaver`")[1:] == [
        "layers 2 to 3",
        "3",
        "1.5 ×",
        "9",
        "9",
        "2 (1–4)",
        "0.2 (0.1–0.3)",
        "10 (10–13.3)",
    ]
    assert cells(text, "2: cost model")[1:7] == ["layer 3", "20", "10 ×", "60", "36", "20 (10–30)"]
    assert cells(text, "3: cost model")[1:7] == ["nothing", "30", "15 ×", "90", "45", "2,110 (20–70,000)"]
    assert (
        "carries 10 times what it does with one (5 times masked once), and the ring takes 1,055 times as long: 2.11 s"
        in text
    )
    assert "a protocol that is not built" in text
    assert log.records("depth")[0]["machine"]["processor"] in text


def test_the_newest_record_of_a_plan_and_its_parties_counts(log, tmp_path):
    noted(log, server={**FIGURES["server"], "busiest_bytes": 7_000_000})
    noted(log)
    noted(log, shape={**FIGURES["shape"], "parties": 3})
    noted(log, plan="distress")
    text = section(log.records("depth"), tmp_path)
    heads = [line for line in text.splitlines() if line.startswith("### ")]
    assert heads == [
        "### fraud: 28-[8, 6, 4], 5,000 rows a step, 2 parties",
        "### fraud: 28-[8, 6, 4], 5,000 rows a step, 3 parties",
        "### distress: 28-[8, 6, 4], 5,000 rows a step, 2 parties",
    ]
    assert "| 7 |" not in text
    assert "2 or 3 parties" in text


def test_a_network_of_one_layer_leaves_the_server_its_activation(log, tmp_path):
    shape = {**FIGURES["shape"], "widths": [8]}
    text = section([noted(log, shape=shape, depths=deepcopy(FIGURES["depths"][:1]))], tmp_path)
    assert cells(text, "1: protocol")[1] == "the activation"
    assert "every layer on shares" not in text


def test_the_plot_shows_the_records_numbers(log):
    figure = draw_depth([noted(log), noted(log, plan="distress")])
    left, right = figure.axes
    assert (left.get_yscale(), right.get_yscale()) == ("log", "log")
    assert left.get_ylabel() == "MB a step, busiest link direction"
    assert right.get_ylabel() == "ms a step, one party"
    drawn = [(line.get_color(), list(line.get_ydata())) for line in left.get_lines()]
    assert drawn[:2] == [(SPLIT, [2, 2, 2]), (RELAYED, [3, 20, 30])]
    times = [(one[0].get_color(), list(one[0].get_ydata())) for one in right.containers]
    assert times[:2] == [(PLAIN, [0.2, 1, 4]), (RELAYED, [2, 20, 2110])]
    assert list(left.get_xticks()) == [1, 2, 3]
    for axes, names in (
        (left, {"on server", "on shares", "masked once"}),
        (right, {"plain, TensorFlow", "ring, on shares"}),
    ):
        shown = [text.get_text() for text in axes.get_legend().get_texts()]
        assert set(shown) == names
        assert len(shown) == len(names)  # two plans, one entry a method
    assert "fraud 28-[8, 6, 4], 5,000 rows, 2 parties" in figure.get_supxlabel()


def test_the_section_stands_on_the_page(log, tmp_path):
    noted(log)
    text = write_page(tmp_path, {"depth": section}).read_text()
    assert "](benchmarks/depth.png)" in text
    assert (tmp_path / "benchmarks" / "depth.png").read_bytes().startswith(b"\x89PNG")


def test_without_records_there_is_no_section(tmp_path):
    assert section([], tmp_path) == ""
    assert list(tmp_path.iterdir()) == []
