"""Advice follows from results and plan by rule: what is already done is not advised, what is not needed neither."""

from attack_results import record

from coordinator.report.privacy.advice import PlanFacts, advice
from coordinator.report.privacy.verdict import verdict

PLAN = PlanFacts((64, 8), 28, "binary", 20, {}, {})


def changes(*attacks, plan=PLAN):
    return [one.change for one in advice([(attack, verdict(attack)) for attack in attacks], plan)]


def server(value, **fields):
    return record("neutral-server", "inverse_ridge", "r2", value, 0.0, **fields)


def labels(value=0.9):
    return record("feature-holder", "label_norm", "auc", value, 0.5, target="labels")


def test_nothing_found_asks_for_nothing():
    assert changes(server(0.001), labels(0.505)) == []


def test_records_seen_by_the_server_narrow_and_blur():
    assert changes(server(0.4)) == [
        "[network] widths = [32, 8]",
        "[protection] z1_noise = 0.5, row_norm = 1.0, weight_norm = 1.0",
    ]


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


def test_noise_that_was_not_enough_is_raised_and_a_defender_is_never_advised():
    plan = PlanFacts((8, 8), 28, "binary", 20, {"z1_noise": 0.5}, {})
    assert changes(server(0.4), plan=plan)[1:] == ["[protection] z1_noise = 1"]
    assert not any("[defender]" in change for change in changes(server(0.4), labels(), plan=plan))


def test_a_defender_is_advised_against_where_the_server_finds_records():
    """The sum of its gradients carries no noise (decision 0022)."""
    defended = PlanFacts((8, 8), 28, "binary", 20, {"z1_noise": 0.5}, {"weight": 20})
    attack = server(0.4)
    first, *others = advice([(attack, verdict(attack))], defended)
    assert first.what.startswith("Train without the defender")
    assert [one.change for one in others] == ["[network] widths = [4, 8]", "[protection] z1_noise = 1"]
    assert not any("defender" in one.what for one in advice([(attack, verdict(attack))], PLAN))


def test_the_label_is_protected_by_what_its_loss_allows():
    assert changes(labels()) == ['[protection] label_gradient = "marvell"']
    several = PlanFacts((64, 8), 28, "multiclass", 20, {}, {})
    assert changes(labels(), plan=several) == ['[protection] label_gradient = "max_norm"']
    marvell = PlanFacts((64, 8), 28, "binary", 20, {"label_gradient": "marvell", "marvell_power": 10.0}, {})
    assert changes(labels(), plan=marvell) == ["[protection] marvell_power = 20"]


def test_a_peers_columns_seen_through_h1_or_h_last():
    peer = record("feature-holder", "peer_block", "r2", 0.5, 0.0, target="peer block")
    defended = PlanFacts((64, 8), 28, "binary", 20, {}, {"weight": 1.0})
    assert advice([(peer, verdict(peer))], defended)[0].what.startswith("Train without the defender")
    assert changes(peer) == ["epochs = 10"]
    holder = record("label-holder", "inverse_ridge", "r2", 0.5, 0.0, target="peer block")
    assert changes(holder) == ["[network] widths = [64, 4]"]


def test_the_same_advice_is_given_once():
    assert len(changes(labels(0.9), labels(0.9))) == 1
