"""The strongest attack by role and aim, on made-up attacks."""

from coordinator.report.events import ScoreRecord
from coordinator.report.privacy.attack_record import AttackRecord
from coordinator.sweeps.leakage import leakage_of


def attack(role, name, measure, value, *, target="rows", epochs=1):
    def score(number):
        return ScoreRecord(number, number - 0.1, number + 0.1, 50)

    return AttackRecord(role, name, measure, target, score(value), score(0.25), score(1), score(0), 10, epochs, "")


def test_the_strongest_of_each_kind():
    found = leakage_of(
        [
            attack("neutral-server", "inverse_ridge", "r2", 0.3),
            attack("neutral-server", "inverse_mlp", "r2", 0.5),
            attack("neutral-server", "stacked_ridge", "r2", 0.4, epochs=3),
            attack("neutral-server", "gram", "r2", 0.45, epochs=3),
            attack("neutral-server", "inverse_mlp", "re_identification", 0.6),
            attack("neutral-server", "stacked_ridge", "re_identification", 0.7, epochs=3),
            attack("neutral-server", "label_norm", "auc", 1.0, target="labels", epochs=3),
            attack("feature-holder party-b", "label_norm", "auc", 0.8, target="labels", epochs=3),
            attack("feature-holder party-b", "label_ridge", "auc", 0.7, target="labels", epochs=3),
            attack("feature-holder party-b", "peer_block", "r2", 0.2, target="peer block"),
            attack("label-holder", "peer_block", "r2", 0.35, target="peer block"),
            attack("predictions", "equality_solving", "r2", 0.9),
            attack("predictions", "equality_solving", "re_identification", 0.9),
        ]
    )
    assert {leak: (one["value"], one["attack"], one["role"]) for leak, one in found.items()} == {
        "re_identification": (0.7, "stacked_ridge", "neutral-server"),
        "r2": (0.5, "inverse_mlp", "neutral-server"),
        "r2_single": (0.5, "inverse_mlp", "neutral-server"),
        "r2_stacked": (0.45, "gram", "neutral-server"),
        "label_auc": (0.8, "label_norm", "feature-holder party-b"),
        "label_auc_server": (1.0, "label_norm", "neutral-server"),
        "peer_r2": (0.35, "peer_block", "label-holder"),
    }
    assert {(one["low"], one["high"], one["n"], one["baseline"]) for one in [found["re_identification"]]} == {
        (0.7 - 0.1, 0.7 + 0.1, 50, 0.25)
    }


def test_what_no_attack_measured_is_none():
    found = leakage_of([attack("neutral-server", "inverse_ridge", "r2", 0.3)])
    assert found["r2_single"]["value"] == 0.3
    assert found["r2_stacked"] is found["re_identification"] is found["label_auc"] is found["label_auc_server"] is None
    assert found["peer_r2"] is None
