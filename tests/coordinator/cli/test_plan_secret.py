"""`tertium plan` says what is on shares, who sees the gradient, and how many rounds each layer takes."""

import pytest
import tomli_w
from command_line import tertium_here
from local_runs import part, plan_toml

from coordinator.cli.plan_secret import secret_lines
from coordinator.plan import parse_plan
from kernel.settings import parse_toml

PARTIES = [part("a", "wine", "alcohol"), part("b", "wine", "ash", label="target")]
LAYERS = [
    {"width": 8, "activation": "square"},
    {"width": 6, "activation": "poly3", "approximates": "relu", "interval": 16},
]


def toml(layers=(), protocol="beaver", **form):
    document = parse_toml(plan_toml("deep", PARTIES, protocol=protocol, learning_rate=0.125), "a plan")
    document["first_layer"] |= form
    document["secret_layers"] = list(layers)
    return tomli_w.dumps(document)


def lines_of(layers=(), **form):
    return secret_lines(parse_plan(toml(layers, **form)))


def test_a_plan_without_any_of_it_has_no_line():
    assert lines_of() == []
    assert lines_of(protocol="masked_sum") == []


def test_secret_layers_under_an_open_gradient():
    assert lines_of(LAYERS) == [
        "on shares: i = 3; the parties compute layers 1 to 3 together, and the neutral server gets z3, 8 wide, and all above",
        "  layer 1: 8 wide, square; its output and bias are shares, |z1| stays below 8 or the run stops; "
        "3 rounds forward, 3 back",
        "  layer 2: 6 wide, poly3 in the place of relu; its output and bias and weights are shares, |z2| stays below 16 or the "
        "run stops; 4 rounds forward, 3 back",
        "  layer 3: the cut; its weights are shares",
        "  gradient open: every party sees dL/dz3 of every training row, and can guess labels from it",
        "  first-layer weights own: each party holds its block in the clear, and learns the sum over a batch of its own columns "
        "times dL/dz1 in every step, from many of which labels can be solved for",
        "rounds a training step: 15 of openings among the parties, 2 of them for no single layer before the last (all weights at once, all moves "
        "at once), one more for first-layer gradients, and 2 answers of the neutral server at the label holder",
    ]  # fmt: skip


def test_everything_shared():
    first, gradient, weights, rounds = lines_of(gradient="shared", weights="shared")
    assert (
        first
        == "on shares: i = 1; the parties compute layer 1 together, and the neutral server gets z1, 8 wide, and all above"
    )
    assert gradient.endswith("dL/dz1 goes to the parties as shares, and none of them sees it")
    assert "nobody ever knows them" in weights
    assert rounds == (
        "rounds a training step: 3 of openings among the parties, 3 of them for no single layer before the last (all weights at once, the shared "
        "gradient, all moves at once), and 2 answers of the neutral server at the label holder"
    )


def test_without_a_neutral_server():
    """13 rounds of the two layers before the head; of the head the output, its square and the gradient's truncation and opening."""
    document = parse_toml(toml(LAYERS), "a plan")
    document["network"] |= {"widths": [], "activations": [], "head_interval": 16.0}
    whole, *layers, head, gradient, _, rounds = secret_lines(parse_plan(tomli_w.dumps(document)))
    assert whole.startswith("on shares: i = 3, all layers; there is no neutral server")
    assert len(layers) == 2
    assert head.endswith("a cubic in the place of a sigmoid; |output| stays below 16 or the run stops")
    assert gradient == "  gradient shared: dL/dz3 is computed on shares, and nobody sees it"
    assert rounds == (
        "rounds a training step: 19 of openings among the parties, 6 of them for no single layer before the last (all weights at "
        "once, the head and its loss, all moves at once)"
    )


def test_a_shared_gradient_alone_moves_no_weight_on_shares():
    rounds = lines_of(gradient="shared", weights="own")[-1]
    assert (
        "2 of them for no single layer before the last (all weights at once, the shared gradient), one more for"
        in rounds
    )


@pytest.mark.parametrize("layers", [(), LAYERS])
def test_the_command_shows_them(tmp_path, capfd, monkeypatch, layers):
    monkeypatch.setenv("COLUMNS", "400")
    (tmp_path / "p.toml").write_text(toml(layers, gradient="shared"))
    sizes = ("--rows", "100", "--columns", "3", "--columns", "4")
    found = tertium_here(capfd, "plan", tmp_path / "p.toml", *sizes)
    assert found.code == 0, found.err
    assert "beaver, ring of 64 bits, f = 18" in found.out
    assert f"on shares: i = {len(layers) + 1}; " in found.out
    assert "coordinator>b" in found.out


def test_what_cannot_be_had_is_refused_with_a_sentence(tmp_path, capfd):
    (tmp_path / "p.toml").write_text(toml([{"width": 8, "activation": "relu"}]))
    tertium_here(capfd, "plan", tmp_path / "p.toml").refused(2, "shares cannot compute 'relu'", 'approximates = "relu"')


def test_every_depth_has_its_forecast(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    (tmp_path / "p.toml").write_text(toml(protocol="masked_sum"))
    sizes = ("--rows", "100", "--columns", "3", "--columns", "4")
    found = tertium_here(capfd, "plan", tmp_path / "p.toml", *sizes, "--depths")
    assert found.code == 0, found.err
    lines = [
        line.split("│")[1:3] for line in found.out.splitlines() if "│ i = " in line or "│ masked_sum, open" in line
    ]
    rounds = {name.strip(): int(count) for name, count in lines}
    # two steps; h_L and the gradient; openings: weights; z, square, A and the way back; moves; first-layer gradients
    assert rounds == {
        "masked_sum, open": 2 * 2,
        "i = 1, open": 2 * (2 + 1),
        "i = 2, open": 2 * (2 + 1 + 6 + 1 + 1),
        "i = 1, shared": 2 * (2 + 1 + 1 + 1),
        "i = 2, shared": 2 * (2 + 1 + 1 + 6 + 1 + 1),
        "i = 3, no server": 2 * (6 + 6 + 6 + 1),
    }
    assert "i = 1" not in tertium_here(capfd, "plan", tmp_path / "p.toml", *sizes).out
