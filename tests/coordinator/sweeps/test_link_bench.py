"""Plans that are trained on links, and the figures of their epochs, against a hand-made run."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import tomli_w
from local_runs import part, plan_toml

from coordinator.local.federation import local_table
from coordinator.local.links.throughput import Throughput
from coordinator.local.tables import table_size
from coordinator.plan import parse_plan
from coordinator.sweeps.bench_log import spread_of
from coordinator.sweeps.link_bench import (
    Line,
    LinkBench,
    access,
    default_plan,
    generated_plan,
    sized_plan,
    timed_epochs,
)
from kernel.errors import SettingsError, TertiumError

ROOT = Path(__file__).resolve().parents[3]
PARTIES = [part("ann", "breast_cancer", "mean radius"), part("bob", "breast_cancer", "mean texture", label="target")]
BENCH = LinkBench(
    plan_toml("small", PARTIES), "the plan", ("masked_sum", "beaver"), 4, "auto", 0.0, Path("nowhere-is-written")
)


def event(kind, second=0, **fields):
    return {"event": kind, "time": f"2026-01-01T00:00:{second:02d}.500+00:00", **fields}


def epoch(number, seconds):
    link_bytes = {
        "ann>neutral-server": 100,
        "neutral-server>ann": 400,
        "bob>neutral-server": 300,
        "neutral-server>bob": 250,
        "coordinator>bob": 25,
    }
    return event("epoch", 20, epoch=number, seconds=seconds, rows=40, bytes=link_bytes)


EVENTS = [
    event("prepared", 1),
    event("prepared", 2),
    event("generation", 9),
    event("forecast", 9, set_up_bytes={"bob>neutral-server": 7, "neutral-server>bob": 8}),
    epoch(1, 9.0),
    event("progress"),
    *(epoch(number, seconds) for number, seconds in ((2, 1.0), (3, 3.0), (4, 2.0))),
]


def test_an_access_link_carries_what_goes_to_and_from_all_others():
    assert access(epoch(1, 1.0)["bytes"], "bob") == (300, 275)
    assert access(epoch(1, 1.0)["bytes"], "ann") == (100, 400)
    assert access({"bobby>neutral-server": 5, "neutral-server>a-bob": 6}, "bob") == (0, 0)


def test_the_first_epoch_is_not_counted_and_the_limit_is_the_busiest_links():
    timed = timed_epochs(EVENTS, ("ann", "bob"))
    assert timed.seconds == (1.0, 3.0, 2.0)
    assert timed.busiest() == ("bob", 300, 275)
    achieved = {"ann": Throughput(0.9, 1.0), "bob": Throughput(0.8, 0.7)}
    figures = timed.figures(0.001, achieved)  # 125 bytes a second
    assert figures["wire_seconds"] == pytest.approx(575 / 125)
    assert figures["seconds"] == spread_of([1.0, 3.0, 2.0])
    assert figures["over_wire"].median == pytest.approx(2.0 * 125 / 575)
    assert figures["set_up"] == {"seconds": 7.0, "up_bytes": 7, "down_bytes": 8}
    assert figures["achieved_mbps"]["bob"] == {"up": 0.8, "down": 0.7}
    assert not {"wire_seconds", "over_wire"} & set(timed.figures(None, achieved))


def test_a_run_of_one_epoch_has_nothing_to_count():
    with pytest.raises(TertiumError, match="nothing can be counted"):
        timed_epochs(EVENTS[:5], ("ann", "bob"))


def test_one_epoch_more_than_is_counted_and_one_barrier():
    beaver = parse_plan(BENCH.plan(Line("beaver", 1))[0]).ring
    for protocol, ring in (("masked_sum", (32, 16)), ("beaver", beaver)):
        text, plan = BENCH.plan(Line(protocol, 2))
        assert parse_plan(text) == plan
        assert (plan.first_layer.protocol, plan.epochs, plan.barrier_every_epochs) == (protocol, 5, 5)
        assert plan.micro_batches == 2
        assert plan.ring == ring


def test_the_plans_own_protocol_keeps_its_ring():
    document = tomllib.loads(BENCH.plan_text) | {"first_layer": {"protocol": "masked_sum", "fractional_bits": 12}}
    bench = replace(BENCH, plan_text=tomli_w.dumps(document))
    assert bench.plan(Line("masked_sum", 1))[1].first_layer.fractional_bits == 12
    assert bench.plan(Line("beaver", 1))[1].first_layer.fractional_bits is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"protocols": ("masked_sum", "masked_sum")}, "name each protocol once"),
        ({"protocols": ()}, "name each protocol once"),
        ({"protocols": ("masked_sum", "other")}, "first_layer.protocol"),
        ({"micro_batches": (3, 3)}, "name each number of micro-batches once"),
        ({"micro_batches": (1, 0)}, "micro_batches"),
        ({"epochs": 0}, "0 epochs were asked for"),
        ({"plan_text": "name = "}, "the plan is not valid TOML"),
        ({"plan_text": "first_layer = 3"}, "the plan: "),
    ],
)
def test_what_cannot_be_trained(change, sentence):
    with pytest.raises(SettingsError, match=sentence):
        replace(BENCH, **change).check()


def test_a_sized_plan_cuts_every_table_and_changes_nothing_else(tmp_path):
    parties = [part("ann", "mine", "x"), part("bob", "breast_cancer", "mean radius", label="target")]
    tables = {"mine": {"source": "here.csv", "columns": {"x": {"type": "real"}}}, "unused": {"source": "builtin:wine"}}
    text = plan_toml("cut", parties, tables=tables)
    sized = sized_plan(text, "the plan", 123)
    found = tomllib.loads(sized)["local"]["tables"]
    assert found == {
        "mine": {"source": str(Path("here.csv").resolve()), "columns": {"x": {"type": "real"}}, "first_rows": 123},
        "breast_cancer": {"source": "builtin:breast_cancer", "first_rows": 123},
    }
    before, after = parse_plan(text), parse_plan(sized)
    assert before.model_copy(update={"local": after.local}) == after


def test_made_up_rows_take_the_tables_place_and_can_be_cut():
    bench = replace(BENCH, plan_text=default_plan(), generated_rows=284_807)
    plan = bench.check()
    section = local_table(plan, "fraud")
    assert section == {"source": "builtin:generated", "generate": {"rows": 284_807, "columns": 28}}
    for party in plan.parties:
        assert table_size("fraud", section, party.columns) == (284_807, 14)
    cut = local_table(parse_plan(sized_plan(bench.text, "it", 28_481)), "fraud")
    assert table_size("fraud", cut, ["V1..V28"]) == (28_481, 28)


def test_made_up_rows_have_columns_of_their_own():
    with pytest.raises(SettingsError, match=r"names the column 'mean radius'; the made-up table has V1"):
        generated_plan(BENCH.plan_text, "it", 100)
    other_label = default_plan().replace('label = "y"', 'label = "V28"')
    with pytest.raises(SettingsError, match=r"names the column 'V28'"):
        generated_plan(other_label, "it", 100)
    with pytest.raises(SettingsError, match=r"1 made-up rows were asked for"):
        generated_plan(default_plan(), "it", 1)


def test_the_default_is_the_deployed_plan():
    assert default_plan() == (ROOT / "deploy" / "plans" / "fraud.toml").read_text(encoding="utf-8")
