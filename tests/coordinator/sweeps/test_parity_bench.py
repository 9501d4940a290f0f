"""`tertium bench parity`: the plans it makes, the figures it keeps, and one real pair of networks."""

import json
from itertools import product

import pytest
from command_line import tertium_here
from local_runs import part, plan_toml

from coordinator.plan import parse_plan
from coordinator.report.run_record import read_run
from coordinator.sweeps import parity as bench
from coordinator.sweeps.bench_log import BenchLog
from coordinator.sweeps.parity import WireOptions, parity_figures, run_parity, varied_plan
from kernel.errors import BadInputError, SettingsError
from kernel.plan_message import plan_hash

PARTIES = [
    part("clinic", "breast_cancer", "mean radius..mean area", label="target"),
    part("laboratory", "breast_cancer", "mean smoothness..mean concavity"),
]
PLAN = plan_toml("pair", PARTIES, epochs=1, widths=(4,), activations=("tanh",))


ON_SHARES = (
    plan_toml(
        "shares", PARTIES, protocol="beaver", epochs=1, widths=(4,), activations=("tanh",), learning_rate=0.125
    ).replace('"beaver"\n', '"beaver"\ngradient = "shared"\nweights = "own"\n')
    + """
[[secret_layers]]
width = 6
activation = "poly3"
approximates = "sigmoid"
interval = 16
"""
)


def varied(protocol="masked_sum", seed=3, text=PLAN, **options):
    return parse_plan(varied_plan(text, "the plan", protocol, seed, WireOptions(**options)))


def own_ring(bits, fractional):
    return PLAN.replace('"masked_sum"', f'"masked_sum"\nring_bits = {bits}\nfractional_bits = {fractional}')


def test_only_what_is_asked_for_changes():
    before = parse_plan(PLAN)
    assert varied(seed=before.seed) == before
    changed = varied(seed=11, ring_bits=64, fractional_bits=30, cut_dtype="bfloat16")
    assert changed == before.model_copy(
        update={
            "seed": 11,
            "cut_dtype": "bfloat16",
            "first_layer": before.first_layer.model_copy(update={"ring_bits": 64, "fractional_bits": 30}),
        }
    )


def test_a_plans_own_ring_stays_with_its_own_protocol_only():
    text = own_ring(64, 28)
    assert varied(text=text).ring == (64, 28)
    assert varied(text=text, fractional_bits=20).ring == (64, 20)
    assert varied("beaver", text=text).ring == (64, 20)  # beaver's default, not masked_sum's 28
    assert varied("beaver", text=text, fractional_bits=18).ring == (64, 18)


def test_a_plan_without_a_first_layer_has_the_default():
    text = PLAN.replace('[first_layer]\nprotocol = "masked_sum"\n', "")
    assert "first_layer" not in text
    assert varied(text=text, fractional_bits=12).ring == (32, 12)


@pytest.mark.parametrize(
    ("protocols", "options", "words"),
    [
        (["masked_sum", "plain"], {}, "no protocol 'plain'; protocols are masked_sum, beaver"),
        (["masked_sum", "beaver"], {"ring_bits": 32, "fractional_bits": 16}, "2 x 16"),
        (["masked_sum"], {"ring_bits": 16}, "first_layer.ring_bits"),
        (["masked_sum"], {"fractional_bits": 30}, "leaves 1 integer bits"),
        (["masked_sum"], {"cut_dtype": "float16"}, "cut_dtype"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_trained(protocols, options, words, tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "train_here", lambda *_, **__: pytest.fail("trained"))
    file = tmp_path / "plan.toml"
    file.write_text(PLAN)
    with pytest.raises(SettingsError, match=words):
        run_parity([file], protocols, [1], tmp_path / "runs", tmp_path, WireOptions(**options))
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_that_cannot_be_read_is_bad_input(tmp_path, capfd):
    tertium_here(capfd, "bench", "parity", tmp_path / "no.toml", "--out", tmp_path).refused(2, "cannot read", "no.toml")


def left_by_a_run(directory, score, plain_score, *, baseline=True, losses=(0.75, 0.5)):
    """Events and metrics.json as a run with its baseline leaves them; returns the directory."""
    directory.mkdir(parents=True)
    one, other = ({"auc": {"value": value, "n": 10}} for value in (score, plain_score))
    events = [{"event": "epoch", "epoch": number, "loss": loss} for number, loss in enumerate(losses, 1)]
    events += [{"event": "baseline", "losses": [0.7, 0.375], "scores": other}] * baseline
    (directory / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    metrics = {"run": "r", "scores": one, **({"baseline": {"scores": other}} if baseline else {})}
    (directory / "metrics.json").write_text(json.dumps(metrics))
    return directory


def test_figures_name_the_wire_and_the_family(tmp_path):
    run = read_run(left_by_a_run(tmp_path / "run", 0.75, 0.875))
    figures = parity_figures(varied(seed=8, fractional_bits=12, cut_dtype="bfloat16"), run)
    family = figures.pop("family")
    assert figures == {
        "protocol": "masked_sum",
        "parties": 2,
        "secret_layers": [],
        "gradient": "open",
        "weights": "own",
        "server": True,
        "seed": 8,
        "ring_bits": 32,
        "fractional_bits": 12,
        "cut_dtype": "bfloat16",
        "scores": {"auc": {"split": 0.75, "plain": 0.875, "gap": -0.125}},
        "training_loss": {"split": 0.5, "plain": 0.375, "gap": 0.125},
    }
    assert family == parity_figures(varied(seed=1, fractional_bits=12, cut_dtype="bfloat16"), run)["family"]
    for other in ({"fractional_bits": 12}, {"fractional_bits": 13, "cut_dtype": "bfloat16"}):
        assert family != parity_figures(varied(seed=8, **other), run)["family"]


def test_figures_say_what_is_on_shares(tmp_path):
    run = read_run(left_by_a_run(tmp_path / "run", 0.75, 0.875))
    figures = parity_figures(varied(None, text=ON_SHARES), run)
    wanted = {
        "protocol": "beaver",
        "parties": 2,
        "secret_layers": [{"width": 6, "activation": "poly3", "interval": 16.0, "approximates": "sigmoid"}],
        "gradient": "shared",
        "weights": "own",
        "server": True,
        "ring_bits": 64,
        "fractional_bits": 18,
    }
    assert {name: figures[name] for name in wanted} == wanted


def test_a_run_whose_loss_nobody_knows_is_compared_by_its_scores(tmp_path):
    run = read_run(left_by_a_run(tmp_path / "run", 0.75, 0.875, losses=()))
    figures = parity_figures(varied(), run)
    assert "training_loss" not in figures
    assert figures["scores"]["auc"]["gap"] == -0.125


def test_a_plan_on_shares_keeps_its_protocol(tmp_path, monkeypatch):
    """Once a seed, whatever protocols are asked for; the plan beside it under each."""
    trained = []

    def train(text, plan, run, runs, *, resume, baseline):
        trained.append(
            (plan.name, plan.first_layer.protocol, plan.first_layer.gradient, plan.seed, len(plan.secret_layers))
        )
        return left_by_a_run(runs / str(len(trained)), 0.5, 0.5)

    monkeypatch.setattr(bench, "train_here", train)
    files = [tmp_path / "shares.toml", tmp_path / "pair.toml"]
    for file, text in zip(files, (ON_SHARES, PLAN), strict=True):
        file.write_text(text)
    list(run_parity(files, ["masked_sum", "beaver"], [1, 2], tmp_path / "runs", tmp_path / "out"))
    assert trained == [
        *(("shares", "beaver", "shared", seed, 1) for seed in (1, 2)),
        *(("pair", protocol, "open", seed, 0) for protocol in ("masked_sum", "beaver") for seed in (1, 2)),
    ]


def test_a_run_without_its_plain_network_is_refused(tmp_path):
    run = read_run(left_by_a_run(tmp_path / "run", 0.75, 0.875, baseline=False))
    with pytest.raises(BadInputError, match="no plain network beside it"):
        parity_figures(varied(), run)


def test_every_combination_is_trained_and_logged(tmp_path, monkeypatch):
    """Without the networks: a run's score is its seed, its plain score the seed less a gap of the protocol."""
    gaps = {"masked_sum": 2.0**-20, "beaver": 2.0**-19}

    def train(text, plan, run, runs, *, resume, baseline):
        assert (run, resume, baseline) == ("", False, True)
        protocol = plan.first_layer.protocol
        return left_by_a_run(runs / f"{protocol}-{plan.seed}", float(plan.seed), plan.seed - gaps[protocol])

    monkeypatch.setattr(bench, "train_here", train)
    file = tmp_path / "plan.toml"
    file.write_text(PLAN)
    found = list(run_parity([file], list(gaps), [2, 5], tmp_path / "runs", tmp_path / "out"))
    combinations = list(product(gaps, [2, 5]))
    assert [(one.protocol, one.seed, one.gap) for one in found] == [
        (name, seed, gaps[name]) for name, seed in combinations
    ]
    records = BenchLog(tmp_path / "out").records("parity")
    assert [(one["protocol"], one["seed"], one["scores"]["auc"]["gap"]) for one in records] == [
        (name, seed, gaps[name]) for name, seed in combinations
    ]
    assert len({one["family"] for one in records}) == 2
    assert records[0]["plan_hash"] == plan_hash(varied(seed=2).message()).hex()


@pytest.mark.e2e
def test_a_real_pair_agrees_and_is_on_the_page(tmp_path, capfd):
    """One epoch by processes of their own, in another ring and with bfloat16 at the cut."""
    file = tmp_path / "plan.toml"
    file.write_text(PLAN)
    options = ["--protocol", "masked_sum", "--seed", 4, "--ring-bits", 64, "--fractional-bits", 30]
    places = ["--runs", tmp_path / "runs", "--out", tmp_path / "out"]
    shown = tertium_here(capfd, "bench", "parity", file, *options, "--cut-dtype", "bfloat16", *places)
    assert shown.code == 0, shown
    (record,) = BenchLog(tmp_path / "out").records("parity")
    assert (record["ring_bits"], record["fractional_bits"], record["cut_dtype"]) == (64, 30, "bfloat16")
    assert (record["seed"], record["protocol"], record["plan"]) == (4, "masked_sum", "pair")
    (run,) = (tmp_path / "runs").iterdir()
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["plan_hash"] == record["plan_hash"]
    assert metrics["network"]["ring_bits"] == 64
    for name, score in record["scores"].items():
        assert score["split"] == metrics["scores"][name]["value"]
        assert score["gap"] == pytest.approx(0, abs=0.02), name
    assert (
        "| pair | `masked_sum` | 2 | i = 1 | 64 bits, f = 30 | bfloat16 | auc | 1 |"
        in (tmp_path / "out" / "benchmarks.md").read_text()
    )
