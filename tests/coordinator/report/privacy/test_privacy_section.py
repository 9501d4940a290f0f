"""The page a data-protection officer reads: sentences, verdicts, advice, and honesty where nothing was measured."""

import pytest
from attack_results import entry, record
from reading import Reading

from coordinator.report.page import write_report
from coordinator.report.plots import write_plots
from coordinator.report.privacy.attack_record import attacks_of
from coordinator.report.privacy.plots import draw_leakage
from coordinator.report.privacy.section import privacy_section
from coordinator.report.privacy.words import RECEIVED_WORDS, percent, remarks, role_words, sentence
from coordinator.report.run_record import read_run
from protos.v1 import split_training_pb2


@pytest.fixture
def words(attacked_run):
    return Reading(write_report(attacked_run).read_text(encoding="utf-8")).words("privacy")


def test_the_sentence_of_a_re_identification_is_for_people():
    attack = record("neutral-server", "inverse_ridge", "re_identification", 0.27, 0.01, spread=0.03)
    assert sentence(attack) == (
        "Of 100 records of the same class, the reader picks the right one in 27 % of cases (24 % to 30 %); "
        "guessing would be 1.0 %."
    )


def test_a_party_is_compared_with_its_own_columns_alone():
    attack = record("feature-holder", "stacked_ridge", "re_identification", 0.56, 0.27, target="peer block")
    assert "of the other parties' records" in sentence(attack)
    assert sentence(attack).endswith("from its own columns alone it would be 27 %.")


def test_remarks_leave_out_what_the_page_says_once():
    note = "baseline: the mean of the leaked rows; exact for full batches"
    assert remarks(note) == ("exact for full batches",)
    assert remarks("baseline: chance") == ()


@pytest.mark.parametrize(
    ("measure", "ending"),
    [
        ("r2", "; without this view 0 %, and from the record's class alone, if it were known, 69 %."),
        ("ssim", "; without this view 0.00, and from the record's class alone, if it were known, 0.69."),
        ("mse", "; without this view by 0, and from the record's class alone, if it were known, by 0.69."),
    ],
)
def test_what_the_class_alone_tells_stands_beside_what_is_reached_without_the_view(measure, ending):
    fields = {"class_mean": 0.69}
    assert sentence(record("neutral-server", "inverse_ridge", measure, 0.7, 0.0, **fields)).endswith(ending)
    plain = sentence(record("neutral-server", "inverse_ridge", measure, 0.7, 0.0))
    assert "class alone" not in plain


@pytest.mark.parametrize(
    ("value", "wanted"), [(0.0, "0 %"), (0.012, "1.2 %"), (0.27, "27 %"), (0.999, "99.9 %"), (1.0, "100 %")]
)
def test_percentages_keep_a_digit_where_it_matters(value, wanted):
    assert percent(value) == wanted


def test_several_processes_of_one_role_keep_their_names():
    assert role_words("feature-holder party-b") == "A party without the label (party-b)"
    assert role_words("neutral-server") == "The neutral server"


def test_findings_are_the_strongest_of_each_role_worst_first(attacked_run):
    found = privacy_section(read_run(attacked_run)).findings
    assert [(one.who, one.what, one.verdict.word) for one in found] == [
        ("A party without the label (party-b)", "the label", "severe"),
        ("The neutral server", "the records", "severe"),
        ("The party with the label", "the other parties' columns", "none found"),
    ]
    assert found[1].reader == "linear reader, all epochs together"
    assert "in 66 % of cases" in found[1].sentences[0]  # of two readers the stronger
    assert "recovers 30 % of what makes a record differ" in found[1].sentences[1]


def test_the_page_says_what_was_found_and_what_to_do(words):
    assert "Readers were trained afresh on 100 leaked rows of 1,000 training rows at most, reading 20 epochs" in words
    assert "tells which is which in 99.9 % of cases" in words
    assert "[network] widths = [4, 8]" in words
    assert "[protection] freeze_first_layer_after = 1" in words
    assert 'label_gradient = "marvell"' in words
    assert "raised what is found from 27 % to 66 %" in words
    assert "masked shares of z₁; their sum over the parties is z₁ | 40 | 320,000 | 1.28 MB" in words
    assert "deleted when the attacks were done" in words
    assert "linear reader, all epochs together: all epochs." in words  # the note


def test_every_attack_stands_beside_its_controls(words):
    assert (
        "The neutral server → the records | linear reader, last epoch | right record among 100 | 27 % (24 % to 30 %) | "
        "1.0 % | 100 % (99.9 % to 100 %) | 1.0 % (-2.0 % to 4.0 %) | noticeable"
    ) in words


def test_a_run_without_attacks_says_so_and_how(sample_run):
    words = Reading(write_report(sample_run).read_text(encoding="utf-8")).words("privacy")
    assert "not measured | No attack was run on this run" in words
    assert "tertium run PLAN --local --attacks quick" in words


def test_attacks_that_failed_say_why(write_run, sample_events):
    events = [*sample_events, {"event": "attacks_failed", "sentence": "found 3 rows; an attack needs four."}]
    words = Reading(write_report(write_run(events)).read_text(encoding="utf-8")).words("privacy")
    assert "not measured | found 3 rows; an attack needs four." in words


def test_the_picture_of_real_rows_is_named_as_such(attacked_run, sample_events):
    import json

    log = attacked_run / "events.jsonl"
    event = json.loads(log.read_text(encoding="utf-8").splitlines()[-1]) | {"image": ["original", "ridge"]}
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(event) + "\n")
    (attacked_run / "plots").mkdir()
    (attacked_run / "plots" / "recoveries.png").write_bytes(b"\x89PNG")
    words = Reading(write_report(attacked_run).read_text(encoding="utf-8")).words("privacy")
    assert "This picture shows real rows of this run. | From the top: original; ridge." in words


def test_a_guarantee_is_told_with_its_relation(write_run):
    guarantee = {
        "noise": 4.0,
        "epsilon": 12.345,
        "delta": 1e-5,
        "releases": 5,
        "relation": "replace one row",
        "given": "w",
    }
    directory = write_run([{"event": "submitted"}], {"privacy": {"local_dp": guarantee}})
    words = Reading(write_report(directory).read_text(encoding="utf-8")).words("privacy")
    assert "ε = 12.3 at δ = 1e-05 over 5 releases; relation: replace one row; given: w." in words


def test_each_measure_has_a_figure_but_the_squared_error(attacked_run):
    names = [path.name for path in write_plots(attacked_run)]
    assert names[-3:] == ["leakage-re_identification.png", "leakage-r2.png", "leakage-auc.png"]


def test_bars_are_the_numbers(attacked_run):
    figure = draw_leakage("re_identification", read_run(attacked_run))
    containers = figure.axes[0].containers
    bars = [one for one in containers if hasattr(one, "patches")]
    assert [[bar.get_width() for bar in one.patches] for one in bars] == [
        [0.27, 0.66],
        [0.01] * 2,
        [1.0] * 2,
        [0.01] * 2,
    ]


def test_what_is_no_attack_is_left_out(write_run):
    broken = {"a.b.c": {"value": 1}, "neutral-server.inverse_ridge.r2": {"value": "no"}, "x": 3}
    directory = write_run([{"event": "submitted"}], {"privacy": {"attacks": broken}})
    assert attacks_of(read_run(directory)) == ()


def protected(directory, **network):
    import json

    path = directory / "metrics.json"
    metrics = json.loads(path.read_text(encoding="utf-8"))
    metrics["network"] |= network
    path.write_text(json.dumps(metrics), encoding="utf-8")
    return directory


def test_what_protection_cost_stands_beside_what_is_read_in_spite_of_it(attacked_run):
    assert privacy_section(read_run(attacked_run)).price == ""
    told = privacy_section(read_run(protected(attacked_run, defender={"weight": 100.0}))).price
    assert told.startswith(
        "With [defender] the network scores auc 0.9660; the plain network of this report, which has none of it, 0.9660 (-4.0e-05)."
    )
    assert "of the records, the neutral server by “linear reader, all epochs together” (severe: Of 100 records" in told
    assert "of the label, a party without the label (party-b) by “direction of the gradient” (severe" in told
    page = Reading(write_report(attacked_run).read_text(encoding="utf-8"))
    assert told in page.words("privacy")
    assert "defender | weight 100.0" in page.words("network")


def test_a_price_without_baseline_or_attacks_says_what_is_missing(write_run, sample_events, sample_metrics):
    events = [event for event in sample_events if event["event"] != "baseline"]
    metrics = {name: part for name, part in sample_metrics.items() if name != "baseline"}
    directory = protected(write_run(events, metrics), protection={"z1_noise": 0.5})
    assert privacy_section(read_run(directory)).price == (
        "What [protection] cost in score is not known: this run has no scores, or no plain network beside it. What is read in spite "
        "of it was not measured."
    )


def test_a_bar_that_runs_out_of_the_axis_carries_its_value(attacked_run):
    import json

    path = attacked_run / "metrics.json"
    metrics = json.loads(path.read_text(encoding="utf-8"))
    metrics["privacy"]["attacks"]["neutral-server.inverse_ridge.r2"]["negative_control"]["value"] = -3.25
    path.write_text(json.dumps(metrics), encoding="utf-8")
    assert [text.get_text() for text in draw_leakage("r2", read_run(attacked_run)).axes[0].texts] == ["◂ -3.25"]
    assert len(draw_leakage("auc", read_run(attacked_run)).axes[0].texts) == 0


def test_the_picture_names_readers_as_the_tables_do():
    from coordinator.report.privacy.words import attack_words
    from party.assessment.recoveries import _ATTACKERS

    assert [name for name, _ in _ATTACKERS] == [attack_words(attacker.name) for _, attacker in _ATTACKERS]


def test_every_message_with_numbers_has_words():
    """Of all that can stand in a transcript of the training stream."""
    numbers = {
        field.name
        for frame in (split_training_pb2.PartyFrame, split_training_pb2.ServerFrame)
        for field in frame.DESCRIPTOR.fields
        if field.message_type is not None and field.message_type.name in ("Tensor", "RingTensor")
    }
    assert {"share", "defender_share", "first_activation"} <= numbers
    assert numbers <= set(RECEIVED_WORDS)


def attacked_with(directory, **fields):
    import json

    log = directory / "events.jsonl"
    event = json.loads(log.read_text(encoding="utf-8").splitlines()[-1]) | fields
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(event) + "\n")
    return Reading(write_report(directory).read_text(encoding="utf-8")).words("privacy")


@pytest.mark.parametrize(
    ("epochs", "words"),
    [
        ([1, 5, 6, 7, 8], "reading 5 of 8 epochs (the first and the last 4), and"),
        ([1, 8], "reading 2 of 8 epochs (the first and the last), and"),
        ([8], "reading 1 of 8 epochs (the last), and"),
        ([1, 2, 3, 4, 5, 6, 7, 8], "reading 8 epochs, and"),
    ],
)
def test_which_epochs_were_read(attacked_run, epochs, words):
    assert words in attacked_with(attacked_run, epochs=epochs, recorded_epochs=8, trained_epochs=8)


def test_a_recording_that_ended_early_is_told(attacked_run):
    words = attacked_with(attacked_run, epochs=[1, 2, 3], recorded_epochs=3, trained_epochs=20)
    assert "Only 3 of 20 epochs are whole in the recording" in words
    whole = attacked_with(attacked_run, epochs=[1, 2, 3], recorded_epochs=20, trained_epochs=20)
    assert "whole in the recording" not in whole


def test_what_could_not_be_measured_is_told(attacked_run):
    skipped = [
        {"role": "neutral-server", "attack": "gram", "sentence": "it failed with KeyError"},
        {"role": "feature-holder", "attack": "", "sentence": "all rows are of one class"},
        {"role": "", "attack": "", "sentence": "no picture"},
        "no line",
    ]
    words = attacked_with(attacked_run, skipped=skipped)
    assert "Not measured. | The neutral server, equations from successive steps: it failed with KeyError." in words
    assert "A party without the label: all rows are of one class." in words
    assert "no picture." in words
    assert "no line" not in words


def test_a_network_that_found_nothing_beyond_its_ridge_is_told(write_run):
    def run(r2):
        attacks = {
            "neutral-server.inverse_ridge.r2": entry(0.3, 0.0, class_mean=0.25),
            "neutral-server.inverse_mlp.r2": entry(r2, 0.0),
        }
        return privacy_section(read_run(write_run([{"event": "submitted"}], {"privacy": {"attacks": attacks}})))

    alike, apart = run(0.30004), run(0.31)
    told = "The neutral server, neural reader, last epoch: it starts from what the linear reader finds and found nothing beyond it"
    assert [note.startswith(told) for note in alike.notes] == [True]
    assert apart.notes == ()
    assert [line[4] for line in alike.table] == ["0.000; class known 0.250", "0.000"]
