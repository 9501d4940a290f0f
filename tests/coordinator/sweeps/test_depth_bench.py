"""`tertium bench depth`: its variants, what it reads of a run's events, and one bench of a small plan through."""

import json

import pytest
from command_line import tertium_here

from coordinator.plan import parse_plan
from coordinator.sweeps import depth as bench
from coordinator.sweeps.bench_log import BenchLog, Spread
from coordinator.sweeps.depth import DepthFigures, MeasuredRun, measured_run, run_depth
from coordinator.sweeps.depth_variants import LEARNING_RATE, depth_variants
from kernel.errors import BadInputError, SettingsError
from kernel.plan_message import check_plan_message

DEPTH_PLAN = """
name = "depth"
epochs = 9
batch_rows = 60
micro_batches = 2

[network]
widths = [6, 4, 2]
activations = ["tanh", "relu", "sigmoid"]

[optimizer]
name = "adam"
learning_rate = 0.1

[protection]
row_norm = 2.0
weight_norm = 2.0

[[parties]]
name = "a"
table = "breast_cancer"
columns = ["mean radius..mean area"]
label = "target"

[[parties]]
name = "b"
table = "breast_cancer"
columns = ["mean smoothness..mean concavity"]
"""
SECRET_PLAN = DEPTH_PLAN.split("[protection]")[0].replace("micro_batches = 2", "").replace(
    "[network]\nwidths = [6, 4, 2]\nactivations = [\"tanh\", \"relu\", \"sigmoid\"]",
    '[first_layer]\nprotocol = "beaver"\nweights = "shared"\n\n[[secret_layers]]\nwidth = 6\nactivation = "poly3"\n'
    'approximates = "relu"\ninterval = 16\n\n[network]\nwidths = [4, 2]\nactivations = ["relu", "sigmoid"]',
).replace('"adam"\nlearning_rate = 0.1', '"momentum"\nlearning_rate = 0.125\nmomentum = 0.875') + (
    "[[parties]]" + DEPTH_PLAN.split("[[parties]]", 1)[1]
)  # fmt: skip


def variants(text=DEPTH_PLAN, gradients=("open", "shared"), **options):
    return depth_variants(text, "the plan", gradients, epochs=3, **options)


def test_the_cut_moves_over_all_layers():
    reference, *others = variants()[:-1]
    assert (reference.reference, reference.name, reference.plan.first_layer.protocol) == (
        True,
        "masked_sum, open",
        "masked_sum",
    )
    assert [one.name for one in others] == [
        f"i = {depth}, {form}" for form in ("open", "shared") for depth in (1, 2, 3)
    ]
    for one in (reference, *others):
        secret, network = one.plan.secret_layers, one.plan.network
        assert [*(layer.width for layer in secret), *network.widths] == [6, 4, 2]
        assert len(secret) == one.depth - 1
        assert network.activations == ("tanh", "relu", "sigmoid")[one.depth - 1 :]
        assert {layer.activation for layer in secret} <= {"square"}
        assert (one.plan.optimizer.name, one.plan.optimizer.learning_rate) == ("sgd", LEARNING_RATE)
        assert (one.plan.epochs, one.plan.micro_batches, one.plan.protection.row_norm) == (3, 1, None)
        check_plan_message(one.plan.message())
        assert parse_plan(one.text) == one.plan


def test_a_secret_plan_keeps_its_own_layers_optimizer_and_form_of_weights():
    """Its secret layer is at the server where the cut comes before it, and as it is everywhere else."""
    reference, first, second, third, alone = variants(SECRET_PLAN, ("shared",))
    assert (reference.plan.network.widths, reference.plan.network.activations) == (
        (6, 4, 2),
        ("sigmoid", "relu", "sigmoid"),
    )
    assert first.plan.network == reference.plan.network
    assert second.plan == parse_plan(SECRET_PLAN.replace("epochs = 9", "epochs = 3\nbarrier_every_epochs = 3").replace(
        'weights = "shared"', 'weights = "shared"\ngradient = "shared"'))  # fmt: skip
    assert [layer.activation for layer in third.plan.secret_layers] == ["poly3", "square"]
    assert [one.plan.weights for one in (reference, first, second, third)] == [
        "own",
        "shared",
        "shared",
        "shared",
    ]
    assert third.name == "i = 3, shared, weights shared"
    assert {one.plan.optimizer.name for one in (reference, first, second, third)} == {"momentum"}

    assert alone.name == "i = 4, no server, weights shared"


def test_the_last_depth_is_without_a_neutral_server():
    alone = variants()[-1]
    assert (alone.name, alone.depth, alone.plan.serverless, alone.plan.network.head_interval) == (
        "i = 4, no server",
        4,
        True,
        32,
    )
    assert [layer.width for layer in alone.plan.secret_layers] == [6, 4, 2]
    check_plan_message(alone.plan.message())
    regression = DEPTH_PLAN.replace('"sigmoid"]\n', '"sigmoid"]\nloss = "regression"\n')
    assert not any(one.plan.serverless for one in variants(regression))
    assert not any(one.plan.serverless for one in variants(gradients=("open",)))
    cubic = variants(activation="poly3")[-1].plan.secret_layers
    assert {(layer.activation, layer.approximates, layer.interval) for layer in cubic} == {("poly3", "sigmoid", 32)}


def test_what_cannot_be_compared_is_a_sentence():
    for gradients in ((), ("open", "open")):
        with pytest.raises(SettingsError, match="name each form of the gradient once"):
            variants(gradients=gradients)
    with pytest.raises(SettingsError, match=r"with the cut at layer 3: .* lower batch_rows or the widths on shares"):
        variants(DEPTH_PLAN.replace("batch_rows = 60", "batch_rows = 60_000"), ("open",))


def events(seconds, *, measured=1000):
    return [
        {"event": "forecast", "bytes": {"a>neutral-server": 900, "neutral-server>a": 500}, "rounds": 20},
        *(
            {
                "event": "epoch",
                "seconds": one,
                "rows": 455,
                "rounds": 20,
                "bytes": {"a>neutral-server": measured, "neutral-server>a": 500, "a>coordinator": 7},
            }
            for one in seconds
        ),
    ]


def test_the_first_epoch_and_links_of_orders_are_left_out():
    found = measured_run(events([9.0, 0.5, 0.25]))
    assert found == MeasuredRun(
        (0.5, 0.25), {"a>neutral-server": (900, 1000), "neutral-server>a": (500, 500)}, (20, 20), 455
    )
    with pytest.raises(BadInputError, match="no epoch that counts"):
        measured_run(events([9.0]))
    with pytest.raises(BadInputError, match="no forecast"):
        measured_run(events([9.0, 0.5])[1:])


def test_a_ratio_is_taken_within_its_repetition():
    reference, first = variants(gradients=("shared",))[:2]
    figures = DepthFigures([reference, first])
    figures.runs[reference.name] = [measured_run(events([9, 1, 1])), measured_run(events([9, 2, 2]))]
    figures.runs[first.name] = [measured_run(events([9, 4, 4])), measured_run(events([9, 6, 6], measured=1600))]
    record = figures.record(columns=7, generated_rows=None)
    assert record["shape"] == {"columns": 7, "widths": [6, 4, 2], "rows": 455, "batch_rows": 60, "parties": 2}
    assert (record["rows_are"], record["steps"], record["epochs"], record["repeats"]) == ("real", 8, 2, 2)
    noted, other = record["variants"]
    assert noted["over_reference"] == Spread(1, 1, 1, 1, 1, 2)
    assert other["over_reference"] == Spread(3.5, 3.25, 3.75, 3, 4, 2)
    assert (other["seconds"].median, other["seconds"].n) == (5, 4)
    assert (other["busiest_link"], other["busiest_bytes"]) == ("a>neutral-server", {"forecast": 900, "measured": 1600})
    assert other["all_bytes"] == {"forecast": 1400, "measured": 2100}
    assert other["rounds"] == {"forecast": 20, "measured": 20}


def test_variants_take_turns(monkeypatch, tmp_path):
    trained = []
    monkeypatch.setattr(bench, "train_here", lambda text, plan, *rest, **options: trained.append(plan) or tmp_path)
    monkeypatch.setattr(bench, "read_events", lambda file: events([9.0, 1.0, 1.0]))
    listed, said = variants(gradients=("open",)), []
    figures = run_depth(listed, 2, tmp_path, said.append)
    assert trained == [one.plan for one in listed] * 2
    assert {len(runs) for runs in figures.runs.values()} == {2}
    assert said[0] == "depth: masked_sum, open, 1 of 2"
    for repeats, epochs in ((0, 3), (1, 1)):
        with pytest.raises(BadInputError, match="measure nothing"):
            run_depth(depth_variants(DEPTH_PLAN, "the plan", ["open"], epochs=epochs), repeats, tmp_path, said.append)


def test_a_range_that_is_left_stops_one_variant_only(monkeypatch, tmp_path):
    """Noted once, and not tried again; the reference has no range, and what stops it stops the bench."""
    listed, tried = variants(gradients=("shared",)), []

    def train(text, plan, *rest, **options):
        tried.append(plan)
        if plan.serverless:
            raise BadInputError("party-a: the label head left [-32, 32]; scale columns (resume with `tertium run`)")
        return tmp_path

    monkeypatch.setattr(bench, "train_here", train)
    monkeypatch.setattr(bench, "read_events", lambda file: events([9.0, 1.0, 1.0]))
    record = run_depth(listed, 2, tmp_path, lambda said: None).record(columns=7, generated_rows=None)
    assert record["stopped"] == {"i = 4, no server": "party-a: the label head left [-32, 32]; scale columns"}
    assert [one["name"] for one in record["variants"]] == [one.name for one in listed[:-1]]
    assert sum(plan.serverless for plan in tried) == 1
    monkeypatch.setattr(bench, "train_here", lambda *rest, **options: (_ for _ in ()).throw(BadInputError("no table")))
    with pytest.raises(BadInputError, match="no table"):
        run_depth(listed, 1, tmp_path, lambda said: None)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--gradient", "closed"), "a gradient is open or shared, not 'closed'"),
        (("--activation", "relu"), "shares cannot compute 'relu'"),
        (("--generated", "100"), "the made-up table has V1, V2, … and the label y"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_trained(tmp_path, capfd, options, sentence):
    (tmp_path / "plan.toml").write_text(DEPTH_PLAN)
    tertium_here(capfd, "bench", "depth", tmp_path / "plan.toml", *options, "--out", tmp_path).refused(2, sentence)
    assert not (tmp_path / "benchmarks.jsonl").exists()


@pytest.mark.e2e
def test_the_command_measures_what_was_forecast(tmp_path, capfd):
    """masked_sum, and one layer under a shared gradient, each as real processes."""
    file = tmp_path / "plan.toml"
    file.write_text(DEPTH_PLAN.replace("[6, 4, 2]", "[6]").replace('"tanh", "relu", "sigmoid"', '"tanh"'))
    options = ("--gradient", "shared", "--epochs", 1, "--repeats", 1, "--runs", tmp_path, "--out", tmp_path / "out")
    shown = tertium_here(capfd, "bench", "depth", file, *options)
    assert shown.code == 0, shown
    assert f"page: {tmp_path / 'out' / 'benchmarks.md'}" in shown.out
    (record,) = BenchLog(tmp_path / "out").records("depth")
    json.dumps(record)
    assert [one["name"] for one in record["variants"]] == ["masked_sum, open", "i = 1, shared", "i = 2, no server"]
    for one in record["variants"]:
        assert one["rounds"]["measured"] == one["rounds"]["forecast"]
        assert one["all_bytes"]["measured"] == pytest.approx(one["all_bytes"]["forecast"], rel=0.02)
    assert "## Depth" in (tmp_path / "out" / "benchmarks.md").read_text()
