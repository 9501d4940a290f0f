"""Advice follows from results and plan by rule: what is already done is not advised, what is not needed neither."""

from attack_results import record

from coordinator.report.privacy.advice import advice
from coordinator.report.privacy.plan_facts import PlanFacts
from coordinator.report.privacy.verdict import verdict
from kernel.gaussian_accounting import local_privacy

PLAN = PlanFacts((64, 8), 28, "binary", 20, {}, {})


def changes(*attacks, plan=PLAN):
    return [one.change for one in advice([(attack, verdict(attack)) for attack in attacks], plan)]


def server(value, **fields):
    return record("neutral-server", "inverse_ridge", "r2", value, 0.0, **fields)


def labels(value=0.9):
    return record("feature-holder", "label_norm", "auc", value, 0.5, target="labels")


DEEPER = '[first_layer] protocol = "beaver", [[secret_layers]] width = 64, activation = "square"'
SHARED = '[first_layer] protocol = "beaver", gradient = "shared", weights = "shared"'


def deeper(width):
    return DEEPER.replace("64", str(width))


def test_nothing_found_asks_for_nothing():
    assert changes(server(0.001), labels(0.505)) == []


def test_records_seen_by_the_server_narrow_and_blur():
    assert changes(server(0.4)) == [
        "[network] widths = [7, 8]",
        "[protection] z1_noise = 0.5, row_norm = 5.29, weight_norm = 1.0",
        DEEPER,
    ]


def test_images_go_through_few_units_and_rows_keep_their_length():
    """784 columns, half at each party: 16 units, and a bound of sqrt(392) = 19.8, not of 1."""
    plan = PlanFacts((512, 128), 784, "multiclass", 8, {}, {}, (392, 392))
    narrow, noise, _ = advice([(server(0.4), verdict(server(0.4)))], plan)
    assert narrow.change == "[network] widths = [16, 128]"
    assert noise.change == "[protection] z1_noise = 0.5, row_norm = 19.8, weight_norm = 1.0"
    epsilon = local_privacy(0.5, 19.8, 8).epsilon
    assert f"Over 8 epochs that is ε = {epsilon:,.0f} at δ = 1e-05 (replace one row" in noise.what


def test_more_noise_says_its_epsilon_too():
    plan = PlanFacts((2,), 28, "binary", 1, {"z1_noise": 2.0, "row_norm": 1.0, "weight_norm": 1.0}, {})
    told = next(one for one in advice([(server(0.4), verdict(server(0.4)))], plan) if "z1_noise" in one.change)
    assert f"Over 1 epoch that is ε = {local_privacy(4.0, 1.0, 1).epsilon:.3g}" in told.what


def test_a_frozen_first_layer_sends_its_noise_once_more_and_no_more():
    protection = {"z1_noise": 2.0, "row_norm": 1.0, "weight_norm": 1.0, "freeze_first_layer_after": 1}
    told = advice([(server(0.4), verdict(server(0.4)))], PlanFacts((2,), 28, "binary", 20, protection, {}))[0].what
    assert f"ε = {local_privacy(4.0, 1.0, 2).epsilon:.3g} at" in told


def test_the_reason_names_who_and_by_which_readers():
    attacks = [server(0.4), *(record("neutral-server", one, "r2", 0.5, 0.0) for one in ("gram", "inverse_mlp"))]
    found = advice([(attack, verdict(attack)) for attack in (*attacks, labels())], PLAN)
    assert found[0].why.startswith(
        "The neutral server found noticeably more than without the view, by “linear reader, last epoch”, “equations from "
        "successive steps”, “neural reader, last epoch”. The first layer is 64 wide for 28 columns."
    )
    assert found[-1].why == (
        "A party without the label found noticeably more than without the view, by “length of the gradient”."
    )


def test_what_costs_no_score_comes_first():
    outputs = record("predictions", "equality_solving", "r2", 0.5, 0.0)
    defended = PlanFacts((512, 8), 28, "binary", 20, {}, {"weight": 1.0})
    told = [
        one.what for one in advice([(attack, verdict(attack)) for attack in (labels(), server(0.9), outputs)], defended)
    ]
    assert told[0].startswith("Train without the defender")
    assert told[1].startswith("Give predictions out rounded")
    assert told[2].startswith("Narrow the first layer")


def test_a_control_that_failed_gives_no_advice():
    assert changes(server(0.4, positive=0.0)) == []


def test_the_first_layer_is_never_narrowed_below_two():
    assert "[network]" not in "".join(changes(server(0.4), plan=PlanFacts((2, 8), 28, "binary", 20, {}, {})))
    assert changes(server(0.4), plan=PlanFacts((3, 8), 28, "binary", 20, {}, {}))[0] == "[network] widths = [2, 8]"


def test_freezing_is_advised_where_epochs_add_up_and_only_there():
    many = record("neutral-server", "stacked_ridge", "r2", 0.8, 0.0, epochs_seen=20)
    few = record("neutral-server", "stacked_ridge", "r2", 0.41, 0.0, epochs_seen=20)  # within the interval
    assert "[protection] freeze_first_layer_after = 1" in changes(server(0.4), many)
    assert "[protection] freeze_first_layer_after = 1" not in changes(server(0.4), few)
    frozen = PlanFacts((64, 8), 28, "binary", 20, {"freeze_first_layer_after": 2}, {})
    assert "[protection] freeze_first_layer_after = 1" not in changes(server(0.4), many, plan=frozen)
    never = PlanFacts((64, 8), 28, "binary", 20, {"freeze_first_layer_after": 0}, {})
    assert "[protection] freeze_first_layer_after = 1" not in changes(server(0.4), many, plan=never)


def test_noise_that_was_not_enough_is_raised_and_a_defender_is_never_advised():
    plan = PlanFacts((8, 8), 28, "binary", 20, {"z1_noise": 0.5}, {})
    assert changes(server(0.4), plan=plan)[1:] == ["[protection] z1_noise = 1", deeper(8)]
    assert not any("[defender]" in change for change in changes(server(0.4), labels(), plan=plan))


def test_a_defender_is_advised_against_where_the_server_finds_records():
    """The sum of its gradients carries no noise (decision 0022)."""
    defended = PlanFacts((8, 8), 28, "binary", 20, {"z1_noise": 0.5}, {"weight": 20})
    attack = server(0.4)
    first, *others = advice([(attack, verdict(attack))], defended)
    assert first.what.startswith("Train without the defender")
    assert [one.change for one in others] == ["[network] widths = [4, 8]", "[protection] z1_noise = 1", deeper(8)]
    assert not any("defender" in one.what for one in advice([(attack, verdict(attack))], PLAN))


def test_the_label_is_protected_by_what_its_loss_allows():
    freeze = "[protection] freeze_first_layer_after = 0"
    assert changes(labels()) == [SHARED, '[protection] label_gradient = "marvell"', freeze]
    several = PlanFacts((64, 8), 28, "multiclass", 20, {}, {})
    assert changes(labels(), plan=several) == [SHARED, '[protection] label_gradient = "max_norm"', freeze]
    assert "the direction still gives most labels away" in advice([(labels(), verdict(labels()))], several)[1].what
    marvell = PlanFacts((64, 8), 28, "binary", 20, {"label_gradient": "marvell", "marvell_power": 10.0}, {})
    assert changes(labels(), plan=marvell) == [SHARED, freeze]  # a party's reading is beyond that noise
    at_server = record("neutral-server", "label_norm", "auc", 0.9, 0.5, target="labels")
    assert changes(at_server, plan=marvell) == ["[protection] marvell_power = 20"]


def test_a_first_layer_frozen_from_the_start_helps_against_parties_only_and_once():
    at_server = record("neutral-server", "label_norm", "auc", 0.9, 0.5, target="labels")
    assert changes(at_server) == ['[protection] label_gradient = "marvell"']
    frozen = PlanFacts((64, 8), 28, "binary", 20, {"freeze_first_layer_after": 0}, {})
    assert changes(labels(), plan=frozen) == [SHARED, '[protection] label_gradient = "marvell"']
    told = advice([(labels(), verdict(labels()))], frozen)[0].what
    assert told.endswith("It cannot be had together with freeze_first_layer_after.")


def test_a_peers_columns_seen_through_h1_or_h_last():
    peer = record("feature-holder", "peer_block", "r2", 0.5, 0.0, target="peer block")
    defended = PlanFacts((64, 8), 28, "binary", 20, {}, {"weight": 1.0})
    assert advice([(peer, verdict(peer))], defended)[0].what.startswith("Train without the defender")
    assert changes(peer) == ["epochs = 10"]
    holder = record("label-holder", "inverse_ridge", "r2", 0.5, 0.0, target="peer block")
    assert changes(holder) == ["[network] widths = [64, 4]"]


def test_the_same_advice_is_given_once():
    assert changes(labels(0.9), labels(0.9)) == changes(labels(0.9))


def test_a_shared_gradient_costs_no_score_and_is_not_advised_twice():
    told = advice([(labels(), verdict(labels()))], PLAN)[0].what
    assert told.startswith(
        "Share the gradient and the first layer's weights: of ∂L/∂z₁ a party then has a share, which is uniform"
    )
    shared = PlanFacts((8,), 28, "binary", 20, {}, {}, protocol="beaver", gradient="shared", weights="shared")
    assert not any("shared" in change for change in changes(labels(), plan=shared))
    opened = PlanFacts((8,), 28, "binary", 20, {}, {}, protocol="beaver", secret_layers=2)
    first = advice([(labels(), verdict(labels()))], opened)[0]
    assert first.change == '[first_layer] gradient = "shared", weights = "shared"'
    assert "of ∂L/∂z₃ a party" in first.what


def test_a_gradient_of_its_own_weights_is_kept_as_shares():
    summed = record("feature-holder", "label_summed", "auc", 0.99, 0.8, target="labels")
    plan = PlanFacts((8,), 28, "binary", 20, {}, {}, protocol="beaver", gradient="shared")
    first = advice([(summed, verdict(summed))], plan)[0]
    assert first.change == '[first_layer] weights = "shared"'
    assert "their gradient, summed over a step's rows, is then told to nobody" in first.what
    assert "[protection] freeze_first_layer_after = 0" not in changes(summed, plan=plan)


def test_behind_layers_on_shares_noise_needs_a_proof_and_no_freeze_can_be_had():
    many = record("neutral-server", "stacked_ridge", "r2", 0.8, 0.0, epochs_seen=20)
    plan = PlanFacts((8,), 28, "binary", 20, {}, {}, protocol="beaver", secret_layers=1)
    narrow, noise, more = advice([(one, verdict(one)) for one in (server(0.4), many)], plan)
    assert narrow.what.startswith("Narrow the cut")
    assert noise.change == "[protection] z1_noise = 0.5, cut_interval = 16"
    assert noise.what.startswith("Add noise to z₂ inside the shares, with a proof on shares")
    reach = 2 * 16 * 8**0.5
    assert f"ε = {local_privacy(0.5, reach, 20).epsilon:,.0f} at" in noise.what
    assert more.change == '[[secret_layers]] width = 8, activation = "square"'
    assert "sees z₃ instead" in more.what
    assert more.why.endswith("Layers on shares before the cut: 1.")
    deep = PlanFacts((2,), 28, "binary", 20, {}, {}, protocol="beaver", secret_layers=3)
    assert changes(server(0.4), plan=deep) == ["[protection] z1_noise = 0.5, cut_interval = 16"]
