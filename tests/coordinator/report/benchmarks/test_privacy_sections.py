"""The page's sections on the defender's weight and on the frontier, from made-up records."""

from itertools import combinations

import pytest
from reading import table_rows

from coordinator.report.benchmarks import controls, defender, frontier, image_readers
from coordinator.report.benchmarks.frontier import newest_sweep, outcomes, target_line
from coordinator.report.benchmarks.frontier_plot import spread_apart, untangled
from coordinator.report.benchmarks.page import write_page
from coordinator.report.benchmarks.targets import TARGETS, targets_for
from coordinator.sweeps.leakage import LEAKS

QUICK = {"effort": "quick", "leaked_fraction": 0.1}


def score(value, half=0.0625, **more):
    return {"value": value, "low": value - half, "high": value + half, "n": 100, **more}


def leak(value, baseline=0.0, attack="inverse_mlp"):
    return score(value, baseline=baseline, attack=attack, role="neutral-server")


def note_run(log, variant, value, *, seed=1, plain=False, family=None, base="b", measure="auc", plan="fraud", **leaks):
    leakage = dict.fromkeys(LEAKS)
    figures = {"variant": variant, "plain": plain, "overrides": {}, "base": base, "family": family or variant}
    return log.append(
        "frontier",
        {
            **figures,
            "plan": plan,
            "seed": seed,
            "utility": score(value, measure=measure),
            "attacks": QUICK,
            "leakage": leakage | {name: leak(found) for name, found in leaks.items()},
        },
    )


def quiet(log, name, value, *, re=0.5, one=0.25, every=0.5, label=0.75, **more):
    leaks = {"re_identification": re, "r2": max(one, every or 0), "r2_single": one, "label_auc": label}
    return note_run(log, name, value, **leaks, **({} if every is None else {"r2_stacked": every}), **more)


def swept(log):
    return outcomes(newest_sweep(log.records("frontier")))


def test_scores_lost_are_paired_by_seed(log):
    for seed, plain, narrow in ((1, 0.875, 0.75), (2, 0.75, 0.75), (3, 0.5, 0.25)):
        quiet(log, "narrow", narrow, seed=seed)
        quiet(log, "none", plain, seed=seed, plain=True)
    quiet(log, "narrow", 0.125, seed=4)  # no plain run has this seed
    first, second = swept(log)
    assert (first.name, first.plain, first.lost) == ("none", True, None)
    # lost 0.125, 0, 0.25: mean 0.125, s 0.125, t(2) 4.303, half 4.303 * 0.125 / sqrt 3
    assert (second.lost.mean, second.lost.n) == (0.125, 3)
    assert second.lost.high - second.lost.mean == pytest.approx(0.31055, abs=1e-4)
    assert second.utility.mean == pytest.approx((0.75 + 0.75 + 0.25 + 0.125) / 4)


def test_one_seed_has_the_interval_of_its_rows(log):
    quiet(log, "none", 0.75, plain=True)
    (one,) = swept(log)
    assert (one.utility.low, one.utility.high) == (0.6875, 0.8125)
    assert (one.leaks["label_auc"].low, one.leaks["label_auc"].rows) == (0.6875, 100)


def test_what_was_measured_last_counts_and_other_definitions_do_not_mix(log):
    quiet(log, "none", 0.5, plain=True, base="old")
    quiet(log, "none", 0.75, plain=True)
    quiet(log, "narrow", 0.25, family="as it was", seed=2)
    quiet(log, "narrow", 0.5, seed=1)
    quiet(log, "narrow", 0.625, seed=1)
    found = {one.name: (one.utility.mean, one.seeds) for one in swept(log)}
    assert found == {"none": (0.75, (1,)), "narrow": (0.625, (1,))}


def test_the_plain_plan_is_one_line_whatever_files_call_it(log):
    quiet(log, "none", 0.75, plain=True, family="b", seed=1)
    quiet(log, "narrow", 0.5, seed=1)
    quiet(log, "unprotected", 0.875, plain=True, family="b", seed=2)
    plain, narrow = swept(log)
    assert (plain.name, plain.seeds, narrow.lost.mean) == ("unprotected", (1, 2), 0.25)


def test_verdicts_by_hand(log):
    quiet(log, "none", 0.875, plain=True, one=0.25, every=0.5, label=1.0)
    quiet(log, "quiet", 0.8750, one=0.25, every=0.25, label=0.5)
    quiet(log, "dear", 0.8672, one=0.25, every=0.125, label=0.6)  # costs 0.0078
    quiet(log, "loud", 0.5, one=0.25, every=0.5, label=0.7)
    quiet(log, "once", 0.8750, one=0.25, every=None, label=0.7)
    stacking, label = targets_for("auc")
    assert {one.name: (stacking.verdict(one), label.verdict(one)) for one in swept(log)} == {
        "none": ("leaks", "leaks"),
        "quiet": ("met", "met"),
        "dear": ("costs", "met"),
        "loud": ("leaks and costs", "leaks and costs"),
        "once": ("nothing to stack", "leaks"),
    }
    assert target_line(stacking, swept(log)).endswith(
        "**met** by quiet. Nothing to stack, so neither met nor missed: once."
    )


def test_without_the_plan_as_it_is_cost_is_not_measured(log):
    quiet(log, "quiet", 0.875, every=0.125)
    (one,) = swept(log)
    assert {target.verdict(one) for target in targets_for("auc")} == {"not measured"}


def test_a_target_that_was_missed_names_who_came_closest(log):
    for name, accuracy, found in (("wide", 0.97, 1.0), ("narrow", 0.92, 0.5), ("noisy", 0.85, 0.1)):
        quiet(log, name, accuracy, re=found, measure="accuracy", plan="mnist", plain=name == "wide")
    (target,) = targets_for("accuracy")
    assert [target.verdict(one) for one in swept(log)] == ["leaks", "leaks", "costs"]
    line = target_line(target, swept(log))
    assert line.endswith("**missed**; of those that keep the score, narrow leaks least, 0.250 too much.")
    assert target_line(target, swept(log)[2:]).endswith("no setting was measured that keeps the score.")


def test_the_targets_are_the_issues():
    assert [target.sentence for target in TARGETS] == [
        "re-identification by the neutral server ≤ 0.25 at accuracy ≥ 0.90",
        "R² from the view of all epochs no higher than from one, at ≤ 0.005 AUC lost",
        "label AUC at a feature holder ≤ 0.6, at ≤ 0.01 AUC lost",
    ]


def test_the_frontier_stands_on_the_page_with_a_plot_a_leak(log, tmp_path):
    quiet(log, "none", 0.875, plain=True, peer_r2=0.5, label_auc_server=0.75)
    quiet(log, "width 2, λ 1, noise 0.5", 0.75, every=None, label=0.5)
    page = write_page(tmp_path, {"frontier": frontier.section}).read_text(encoding="utf-8")
    head, first, second = table_rows(page)
    assert len(head) == len(first) == len(second) == 11
    assert head[6:9] == ["label AUC", "label AUC, server", "R² at a party"]
    assert first[:4] == ["none", "0.875 (0.812–0.938)", "–", "0.500 (0.438–0.562)"]
    assert first[7] == "0.750 (0.688–0.812)"
    assert first[8] == "0.500 (0.438–0.562) [0.000]"
    assert second[:3] == ["width 2, λ 1, noise 0.5", "0.750 (0.688–0.812)", "+0.1250"]
    assert second[5] == second[7] == second[8] == "–"
    assert second[9:] == ["nothing to stack", "costs"]
    for name in ("re-identification", "r2", "label-auc"):
        assert f"benchmarks/frontier-fraud-{name}.png" in page
        assert (tmp_path / "benchmarks" / f"frontier-fraud-{name}.png").read_bytes().startswith(b"\x89PNG")


def test_names_are_kept_apart_in_their_order():
    assert spread_apart([0.5, 0.1], 0.1) == [0.5, 0.1]
    assert spread_apart([0.5, 0.5, 0.45], 0.1) == pytest.approx([0.55, 0.65, 0.45])
    assert spread_apart([1.0, 1.0, 0.2], 0.25) == pytest.approx([0.75, 1.0, 0.2])
    assert spread_apart([0.0, 0.0], 1.0) == [0.0, 1.0]


def test_lines_to_names_do_not_cross():
    # on one height the point nearest to the names gets the name that is nearest to that height
    assert untangled([(0.0, 1.0), (1.0, 1.0)], [1.0, 0.5]) == [0.5, 1.0]
    places = [(x / 7 % 1, y / 5 % 1) for x, y in zip(range(0, 60, 5), range(0, 36, 3), strict=True)]
    found = untangled(places, spread_apart([y for _, y in places], 0.05))

    def crossed(one, other):
        """Of two lines to names on one vertical, seen from the point that is nearer to it."""
        (x, y), height = max((places[one], found[one]), (places[other], found[other]))
        (far_x, far_y), far = min((places[one], found[one]), (places[other], found[other]))
        there = far_y + (far - far_y) * (x - far_x) / (1.03 - far_x)
        return (there - y) * (far - height) < -1e-9

    assert sorted(found) == sorted(spread_apart([y for _, y in places], 0.05))
    assert not [pair for pair in combinations(range(len(places)), 2) if crossed(*pair)]


def note_weight(log, weight, value, *, seed=1, objective="adversarial", family="f", attacks=None, **leaks):
    figures = {"weight": weight, "objective": objective, "distance": "mse", "family": f"{family}-{objective}"}
    figures |= {"plan": "fraud", "seed": seed, "utility": score(value, measure="auc")}
    if leaks:
        figures |= {"attacks": attacks or QUICK, "leakage": {name: leak(found) for name, found in leaks.items()}}
    return log.append("defender", figures)


def test_a_curve_over_seeds(log, tmp_path):
    for seed, values in ((1, (0.75, 0.5)), (2, (0.875, 0.75))):
        for weight, value in zip((0.0, 1e-5), values, strict=True):
            note_weight(log, weight, value, seed=seed)
    head, zero, small = table_rows(defender.section(log.records("defender"), tmp_path))
    assert head == ["λ", "seeds", "AUC, mean over seeds", "of one seed", "lost"]
    # mean 0.8125, s / sqrt 2 = 0.0625, t(1) = 12.706: ± 0.7941
    assert zero == ["0", "2", "0.8125 (0.0184–1.6066)", "0.7500–0.8750", "–"]
    # lost 0.25 and 0.125: mean 0.1875, s / sqrt 2 = 0.0625
    assert small[0] == "1e-05"
    assert small[4] == "+0.1875 (-0.6066 to +0.9816)"
    assert (tmp_path / "defender-fraud.png").read_bytes().startswith(b"\x89PNG")


def test_leaks_stand_beside_and_objectives_apart(log, tmp_path):
    note_weight(log, 0.0, 0.75, re_identification=0.5, r2=0.25)
    note_weight(log, 0.1, 0.75, re_identification=0.25, r2=0.125)
    note_weight(log, 0.1, 0.75)  # again without attacks: what they found stays
    note_weight(log, 0.0, 0.5, objective="literal")
    note_weight(log, 1.0, 0.5, family="another plan by its hash", objective="literal")
    text = write_page(tmp_path, {"defender": defender.section}).read_text(encoding="utf-8")
    head, zero, small, _, literal = table_rows(text)
    assert head[5:] == ["re-identification", "R²"]
    assert (zero[5], small[5]) == ("0.500 (0.438–0.562)", "0.250 (0.188–0.312)")
    assert literal[0] == "1"  # the older family of this objective is left out
    assert text.index("`adversarial`") < text.rindex("`literal`")
    names = {file.name for file in (tmp_path / "benchmarks").iterdir()}
    assert names == {"defender-fraud.png", "defender-fraud-adversarial-leakage.png"}


def test_attacks_of_another_effort_do_not_mix(log):
    note_weight(log, 0.0, 0.75, r2=0.25, seed=1)
    note_weight(log, 0.0, 0.75, r2=0.75, seed=2, attacks={"effort": "full", "leaked_fraction": 0.1})
    curve = defender.curves_of(log.records("defender"))["adversarial"]
    assert (curve[0.0].leaks["r2"].mean, curve[0.0].seeds) == (0.75, (2,))


def test_without_records_there_is_no_section(tmp_path):
    assert frontier.section([], tmp_path) == defender.section([], tmp_path) == ""


def control(attack, role, measure, value, positive, negative, target="rows", baseline=0.5, **more):
    return more | {
        "role": role,
        "attack": attack,
        "measure": measure,
        "target": target,
        "value": value,
        "baseline": baseline,
        "positive": positive,
        "negative": negative,
    }


def test_controls_are_told_over_all_runs_of_a_sweep():
    noted = [
        {"controls": [control("label_norm", "feature-holder party-b", "auc", 0.75, 1.0, 0.51, "labels")]},
        {
            "controls": [
                control("label_norm", "feature-holder", "auc", 0.625, 0.99, 0.49, "labels"),
                control("inverse_ridge", "neutral-server", "r2", 0.5, 0.98, -0.01, baseline=0.0),
            ]
        },
        {},
    ]
    text = controls.control_table("fraud", noted)
    assert "Controls of the attacks on fraud, lowest and highest of 2 runs" in text
    _, label, ridge = table_rows(text)
    assert label == [
        "length of the gradient",
        "A party without the label",
        "the label",
        "label told (AUC)",
        "2",
        "0.625 to 0.75",
        "0.5",
        "0.99 to 1",
        "0.49 to 0.51",
    ]
    assert ridge[-5:] == ["1", "0.5", "0", "0.98", "-0.01"]
    assert controls.control_table("fraud", [{}]) == ""


def test_recovered_images_stand_beside_what_fresh_attackers_reach(tmp_path):
    reached = [
        control("paper_attacker", "neutral-server", "mse", 0.0625, 0, 0, baseline=0.125, class_mean=0.0675),
        control("inverse_ridge", "neutral-server", "mse", 0.0004, 0, 0, baseline=0.125, class_mean=0.0675),
        control("inverse_mlp", "neutral-server", "mse", 0.0009, 0, 0, baseline=0.125, class_mean=0.0675),
        control("paper_attacker", "neutral-server", "re_identification", 0.125, 0, 0),
        control("inverse_ridge", "neutral-server", "re_identification", 1.0, 0, 0),
        control("peer_block", "feature-holder", "mse", 0.0001, 0, 0, target="peer block"),
    ]
    record = {"weight": 100.0, "seed": 1, "utility": {"value": 0.8945}, "controls": reached, "picture": "one.png"}
    older = record | {"utility": {"value": 0.5}}
    (tmp_path / "one.png").write_bytes(b"a picture")
    text = image_readers.image_part([older, record, {"weight": 0.0, "seed": 1}], tmp_path)
    head, line = table_rows(text)
    assert head[3:6] == ["MSE of the class mean", "MSE, the paper's", "MSE, strongest fresh"]
    assert line == ["100", "1", "0.894", "0.0675", "0.0625", "0.0004", "–", "–", "0.125", "1"]
    assert text.count(f"]({tmp_path.name}/one.png)") == 1
    assert image_readers.image_part([{"weight": 0.0, "seed": 1}], tmp_path) == ""


def test_class_means_of_older_records_stand_where_the_baseline_stood(tmp_path):
    older = control("inverse_ridge", "neutral-server", "mse", 0.0625, 0, 0, baseline=0.0675)
    for one, wanted in ((older, "0.0675"), (older | {"class_mean": None}, "–")):
        record = {"weight": 1.0, "seed": 1, "utility": {"value": 0.5}, "controls": [one], "picture": "one.png"}
        assert table_rows(image_readers.image_part([record], tmp_path))[1][3] == wanted


def test_a_setting_with_nothing_to_stack_is_not_the_closest(log):
    quiet(log, "none", 0.875, plain=True, one=0.25, every=0.5)
    quiet(log, "once", 0.875, one=0.25, every=None)
    stacking, _ = targets_for("auc")
    assert stacking.closest(swept(log))[0].name == "none"
    assert target_line(stacking, swept(log)).endswith(
        "none leaks least, 0.250 too much. Nothing to stack, so neither met nor missed: once."
    )


def test_a_party_that_was_sent_nothing_is_at_chance(log):
    """Not one of which nothing was measured for another reason."""
    quiet(log, "none", 0.875, plain=True)
    for name, unseen in (("frozen", ["label_auc"]), ("skipped", [])):
        record = note_run(log, name, 0.875, r2_single=0.25, r2_stacked=0.25)
        log.append("frontier", {**record, "unseen": unseen})
    _, label = targets_for("auc")
    found = {one.name: one for one in swept(log)}
    assert (label.verdict(found["frozen"]), label.verdict(found["skipped"])) == ("met", "not measured")
    assert frontier.variant_table([found["frozen"]], [label]).count("nothing sent") == 1
    drawn = {one.name: frontier._at_chance("label_auc", one, swept(log)) for one in swept(log)}
    assert drawn["frozen"].leaks["label_auc"].mean == found["none"].leaks["label_auc"].baseline
    assert "label_auc" not in drawn["skipped"].leaks


def test_a_sweep_of_several_numbers_of_seeds_says_so(log, tmp_path):
    quiet(log, "none", 0.875, plain=True, seed=1)
    assert "; 1 seed" in write_page(tmp_path, {"frontier": frontier.section}).read_text(encoding="utf-8")
    quiet(log, "narrow", 0.75, seed=1)
    quiet(log, "narrow", 0.75, seed=2)
    page = write_page(tmp_path, {"frontier": frontier.section}).read_text(encoding="utf-8")
    assert "1 to 2 seeds a setting: compare scores by what was lost" in page
