"""party.gan.session: the life of a party's run of job gan, against its nets called directly; no other role takes part."""

import numpy as np
import pytest

from kernel.errors import BadInputError, PolicyError, StepError, TertiumError, WireError
from kernel.gan.schedule import drawn_rows, latent_noise, sample_noise
from kernel.gan.spec import gan_spec
from kernel.gan.synthetic_message import decode_synthetic, encode_synthetic
from kernel.run_state import RunState
from kernel.wire.meter import LinkMeter
from party.gan.local_gan import LocalGan, initial_gan
from party.gan.rows import load_gan_rows
from party.gan.session import GanSession
from party.settings import PartySettings
from protos.v1 import common_pb2, coordination_pb2, plan_pb2

COLUMNS = ["x0", "x1", "x2", "x3"]
KEY = bytes(range(32))
GENERATIONS = iter(range(1, 100))
"""Of a run that many tests begin."""


def plan(**gan):
    return plan_pb2.RunPlan(
        name="p",
        job=plan_pb2.JOB_KIND_GAN,
        parties=[plan_pb2.PartyPlan(name="ann", table="t", columns=["x0..x3"], label="digit")],
        epochs=3,
        batch_rows=8,
        test_fraction=0.25,
        barrier_every_epochs=1,
        gan=plan_pb2.GanPlan(
            nets=plan_pb2.GanNets(
                kind=plan_pb2.GAN_NET_KIND_DENSE,
                latent=3,
                generator=[6],
                discriminator=[5],
                learning_rate=gan.pop("learning_rate", 1e-3),
                beta_1=0.5,
                real_label=0.95,
            ),
            steps=plan_pb2.STEPS_POLICY_EQUAL_STEPS,
            classes_at_once=2,
            seed=4,
            evaluation=plan_pb2.GanEvaluationPlan(
                rows=40, epochs=1, members=12, classifier=plan_pb2.CLASSIFIER_SIZE_PAPER
            ),
            **gan,
        ),
    )


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Twenty rows of class 1, forty of class 2."""
    directory = tmp_path_factory.mktemp("ann")
    generator = np.random.default_rng(0)
    rows = [(*generator.uniform(0, 1, 4).round(3), label) for label in (1, 2) for _ in range(20 * label)]
    (directory / "t.csv").write_text("x0,x1,x2,x3,digit\n" + "\n".join(",".join(map(str, row)) for row in rows) + "\n")
    (directory / "state").mkdir()
    (directory / "state" / "initialisation.key").write_bytes(KEY)
    number = {"type": "real", "low": 0, "high": 1}
    return PartySettings.model_validate(
        {
            "name": "ann",
            "coordinator": {"address": "127.0.0.1:1", "name": "coordinator"},
            "neutral_server": {"address": "127.0.0.1:1", "name": "neutral-server"},
            "state_directory": directory / "state",
            "tls": {"certificate": "x", "key": "x", "authority": "x"},
            "tables": {
                "t": {
                    "source": str(directory / "t.csv"),
                    "columns": {**dict.fromkeys(COLUMNS, number), "digit": {"type": "integer", "low": 0, "high": 9}},
                }
            },
            "policy": {
                "peers": {},
                "job_kinds": ["gan"],
                "synthetic_rows": ["t"],
                "columns": {"t": ["x0..x3"]},
                "labels": {"t": ["digit"]},
            },
            "tensorflow_threads": 1,
        }
    )


def session(settings, run, generation=1):
    return GanSession(
        settings,
        None,
        run=run,
        generation=generation,
        stubs={},
        meter=LinkMeter(),
        send_progress=lambda progress: None,
    )


def begin_order(barrier=0, groups=(((1, 2), (3,)),), columns=(4,)):
    return coordination_pb2.Begin(
        barrier=barrier,
        encoded_columns=columns,
        groups=[coordination_pb2.GanGroup(classes=classes, steps=steps) for classes, steps in groups],
    )


def begun(settings, run, generation=1, barrier=0, message=None):
    made = session(settings, run, generation)
    made.prepare(coordination_pb2.Prepare(plan=message or plan()))
    made.begin(begin_order(barrier))
    return made


def train(made, *epochs):
    return [made.train_epoch(coordination_pb2.TrainEpoch(epoch=epoch, batch_seed=100 + epoch)) for epoch in epochs]


def hold(made, barrier):
    return made.hold_barrier(coordination_pb2.HoldBarrier(barrier=barrier)).manifest_hash


def direct(settings, epochs):
    """The same nets, moved without a session; returns them with the mean losses of the last epoch."""
    spec = gan_spec(plan())
    rows = load_gan_rows(plan().parties[0], settings.tables, None, (), 0.25, 4).train
    nets = LocalGan(spec, 4, None, initial_gan(spec, 4, None, (1, 2), KEY, "ann"))
    losses = []
    for epoch in epochs:
        seed, losses = 100 + epoch, []
        for step in range(3):
            latent = np.stack([latent_noise(seed, label, step, 8, 3) for label in (1, 2)])
            real = [rows[label][drawn_rows(seed, label, step, 0, len(rows[label]), 8)] for label in (1, 2)]
            losses.append(nets.step(latent, np.stack(real)))
    return nets, np.mean(losses, axis=0)


@pytest.fixture(scope="module")
def trained(settings):
    """Three epochs with a barrier after each."""
    made = begun(settings, "whole")
    done = []
    for epoch in (1, 2, 3):
        done += train(made, epoch)
        hold(made, epoch)
    return made, done


def test_what_is_prepared_is_counted_by_class(settings):
    prepared = session(settings, "counted").prepare(coordination_pb2.Prepare(plan=plan()))
    assert [(one.label, one.train_rows, one.test_rows) for one in prepared.classes] == [(1, 15, 5), (2, 30, 10)]
    assert (prepared.rows, prepared.train_rows, prepared.test_rows) == (60, 45, 15)
    assert (prepared.encoded_columns, prepared.image_height, list(prepared.barriers)) == (4, 0, [])


def test_a_session_trains_as_its_nets_do(settings, trained):
    made, done = trained
    nets, losses = direct(settings, (1, 2, 3))
    for name, array in nets.state().items():
        np.testing.assert_array_equal(made._nets[0].state()[name], array)
    assert done[-1].rows == 3 * 2 * 8
    assert (done[-1].rounds, list(done[-1].links), done[-1].has_loss) == (0, [], True)
    assert done[-1].loss == pytest.approx(losses[0].mean())
    told = {(one.net, one.model): one.loss for one in done[-1].losses}
    for number, net in enumerate(("generator", "discriminator")):
        assert [told[net, model] for model in (0, 1)] == pytest.approx(losses[number].tolist())
    assert {phase.phase for phase in done[-1].phases} == {"latent and rows", "own step"}


def test_a_new_generation_goes_on_with_the_same_bits(settings, trained):
    whole, _ = trained
    first = begun(settings, "resumed")
    train(first, 1)
    hold(first, 1)
    train(first, 2)  # lost
    second = begun(settings, "resumed", generation=2, barrier=1)
    train(second, 2, 3)
    for name, array in whole._nets[0].state().items():
        np.testing.assert_array_equal(second._nets[0].state()[name], array)
    assert hold(second, 3) == whole._store.hold(3, whole._store.load(3))


def test_a_barrier_has_a_part_for_each_class(trained):
    parts = trained[0]._store.load(3)
    assert set(parts) == {"class-1", "class-2", "rows"}
    assert parts["rows"]["columns"].tolist() == COLUMNS
    assert (parts["rows"]["image"].tolist(), parts["rows"]["classes"].tolist()) == ([0, 0], [1, 2])
    state = trained[0]._nets[0].state()
    for name, array in parts["class-2"].items():
        np.testing.assert_array_equal(array, state[name][1:])


def test_synthetic_rows_are_the_generators(trained):
    made, _ = trained
    rows = made.synthesise(coordination_pb2.Synthesise(rows_per_class=1005, classes=[2, 1], seed=8)).rows
    values, labels = decode_synthetic(rows)
    assert labels.tolist() == [2] * 1005 + [1] * 1005
    assert list(rows.column_names) == COLUMNS
    wanted = made._nets[0].sample(1, sample_noise(8, 2, 1005, 3))
    np.testing.assert_allclose(values[:1005], (wanted + 1) / 2, atol=1e-6)
    _, every = decode_synthetic(made.synthesise(coordination_pb2.Synthesise(rows_per_class=1, seed=8)).rows)
    assert every.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({"rows_per_class": 1, "classes": [1, 7]}, r"no generator of classes \[7\].*others of \[1, 2\]"),
        ({"rows_per_class": 0}, "0 rows of 2 classes"),
        ({"rows_per_class": 1 << 40}, "a message holds 1 to"),
    ],
)
def test_rows_that_cannot_be_made(trained, wish, sentence):
    with pytest.raises(BadInputError, match=sentence):
        trained[0].synthesise(coordination_pb2.Synthesise(**wish))


def test_a_generation_for_samples_reads_no_row_and_trains_nothing(settings, trained):
    wish = coordination_pb2.Synthesise(rows_per_class=3, seed=5)
    wanted = trained[0].synthesise(wish)
    tables = {"t": settings.tables["t"].model_copy(update={"source": "gone.csv"})}
    made = session(settings.model_copy(update={"tables": tables}), "whole", generation=2)
    prepared = made.prepare(coordination_pb2.Prepare(plan=plan(), request="s1"))
    assert (prepared.encoded_columns, list(prepared.barriers)[-1]) == (4, 3)
    made.begin(begin_order(3))
    assert made.synthesise(wish) == wanted
    with pytest.raises(StepError, match="makes synthetic rows and trains nothing"):
        train(made, 4)
    with pytest.raises(StepError, match="makes synthetic rows and scores nothing: no real row was read"):
        made.try_classifier(coordination_pb2.TryClassifier(most_rows=20, epochs=1, seed=4))
    with pytest.raises(StepError, match="makes synthetic rows and attacks nothing: no real row was read"):
        made.attack_discriminators(coordination_pb2.AttackDiscriminators(members=12, seed=4))
    made.finish()
    assert made.state is RunState.DONE


def test_samples_want_generators(settings):
    with pytest.raises(StepError, match="holds no generators of run 'untrained' under this plan; train it first"):
        session(settings, "untrained").prepare(coordination_pb2.Prepare(plan=plan(), request="s1"))


@pytest.fixture
def scored(settings):
    """Half of each class held out: 10 and 20 rows; a new generation, so nothing of it has been asked yet."""
    message = plan()
    message.test_fraction = 0.5
    return begun(settings, "scored", generation=next(GENERATIONS), message=message)


def classifier_order(**changes):
    """What the coordinator orders of this plan."""
    size = plan_pb2.CLASSIFIER_SIZE_PAPER
    wish = {"epochs": 1, "seed": 4, "size": size, **({} if "rows" in changes else {"most_rows": 40}), **changes}
    return coordination_pb2.TryClassifier(**wish)


def attack_order(**changes):
    return coordination_pb2.AttackDiscriminators(**{"members": 12, "seed": 4, **changes})


def test_scores_are_of_held_out_rows(scored):
    accuracy = scored.try_classifier(classifier_order()).accuracy
    assert (accuracy.name, accuracy.rows) == ("accuracy", 30)
    assert accuracy.low <= accuracy.value <= accuracy.high
    attacked = scored.attack_discriminators(attack_order())
    counts = {(one.label, one.members, one.non_members) for one in attacked.attacks}
    assert counts == {(1, 10, 10), (2, 12, 20)}
    assert {one.label: one.chance for one in attacked.attacks} == {1: 10 / 20, 2: 12 / 32}
    bars = {(one.label, one.rows): (len(one.counts), sum(one.counts)) for one in attacked.histograms}
    assert bars == {(1, "train"): (50, 10), (1, "holdout"): (50, 10), (2, "train"): (50, 12), (2, "holdout"): (50, 20)}


def test_a_class_with_fewer_than_ten_rows_held_out_is_not_attacked(trained):
    """Five of class 1 are, ten of class 2."""
    attacked = trained[0].attack_discriminators(attack_order())
    assert [(one.label, one.non_members) for one in attacked.attacks] == [(2, 10)]
    assert {one.label for one in attacked.histograms} == {2}


def test_fifteen_rows_held_out_are_too_few_for_a_score(trained):
    with pytest.raises(PolicyError, match=r"'ann' has 15 rows held out and scores on 20 or more.*raise test_fraction"):
        trained[0].try_classifier(classifier_order())


@pytest.mark.parametrize(
    ("order", "sentence"),
    [
        (classifier_order(epochs=2), "a classifier with epochs = 2 is ordered, the plan's evaluation says 1 to 'ann'"),
        (classifier_order(most_rows=39), "most_rows = 39 is ordered, the plan's evaluation says 40"),
        (classifier_order(size=plan_pb2.CLASSIFIER_SIZE_SMALL), "a classifier with size = "),
        (classifier_order(seed=5), "a classifier with another seed than the plan's is ordered of 'ann'"),
        (classifier_order(rows=encode_synthetic(np.zeros((41, 4), "f4"), np.ones(41, "i8"))), "of 41 synthetic rows"),
        (attack_order(members=11), "a membership attack with members = 11 is ordered, the plan's evaluation says 12"),
        (attack_order(seed=5), "a membership attack with another seed"),
    ],
)
def test_evaluations_that_are_not_the_plans_are_refused(scored, order, sentence):
    ask = scored.attack_discriminators if "members" in str(order) else scored.try_classifier
    with pytest.raises(PolicyError, match=sentence):
        ask(order)


def test_an_evaluation_is_answered_once(monkeypatch, scored):
    """One party: classifiers of its synthetic rows, of all and of real ones; refused orders do not count."""
    monkeypatch.setattr("party.gan.evaluation.try_classifier", lambda *of: common_pb2.ScoreValue(rows=30))
    for _ in range(3):
        with pytest.raises(PolicyError, match="epochs = 9"):
            scored.try_classifier(classifier_order(epochs=9))
        assert scored.try_classifier(classifier_order()).accuracy.rows == 30
    with pytest.raises(PolicyError, match="'ann' has answered every classifier order"):
        scored.try_classifier(classifier_order())
    scored.attack_discriminators(attack_order())
    with pytest.raises(PolicyError, match="'ann' has answered every attack order"):
        scored.attack_discriminators(attack_order())


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (
            encode_synthetic(np.zeros((2, 3), "f4"), np.array([1, 2])),
            "2 synthetic rows of 3 columns came; rows here have 4",
        ),
        (encode_synthetic(np.zeros((0, 4), "f4"), np.array([], "i8")), "0 synthetic rows"),
        (encode_synthetic(np.zeros((2, 4), "f4"), np.array([1, 9])), r"classes \[9\], which the run does not have"),
        (encode_synthetic(np.full((2, 4), np.nan, "f4"), np.array([1, 2])), "not from 0 to 1"),
        (encode_synthetic(np.full((2, 4), 1.5, "f4"), np.array([1, 2])), "not from 0 to 1"),
        (coordination_pb2.SyntheticRows(rows=2, columns=4, values=bytes(31), labels=bytes(16)), "31 bytes of values"),
    ],
)
def test_rows_from_outside_are_held_to_what_they_say(scored, rows, sentence):
    with pytest.raises(WireError, match=sentence):
        scored.try_classifier(classifier_order(rows=rows))


@pytest.mark.parametrize(
    ("order", "sentence"),
    [
        (begin_order(columns=(5,)), r"counts \[5\] columns; here there are 4"),
        (begin_order(columns=()), r"counts \[\] columns"),
        (begin_order(groups=[((1, 2), (3, 3))]), "and 1 parties"),
        (begin_order(groups=[((1, 2), (0,))]), r"rows of classes \[1, 2\] of them"),
        (begin_order(groups=[((1, 7), (3,))]), r"rows of classes \[1\] of them"),
        (begin_order(groups=[((1,), (3,)), ((2, 1), (3,))]), r"groups hold classes \[1, 2, 1\]"),
        (begin_order(groups=[((), (3,))]), r"for classes \[\]"),
    ],
)
def test_groups_from_outside_are_held_to_the_rows(settings, order, sentence):
    made = session(settings, "grouped", generation=next(GENERATIONS))
    made.prepare(coordination_pb2.Prepare(plan=plan()))
    with pytest.raises(WireError, match=sentence):
        made.begin(order)


def test_orders_out_of_turn(settings):
    made = session(settings, "turns")
    made.prepare(coordination_pb2.Prepare(plan=plan()))
    with pytest.raises(StepError, match="has not begun at 'ann'; order begin first"):
        train(made, 1)
    with pytest.raises(StepError, match="barrier 2 is not held by 'ann'"):
        made.begin(begin_order(2))
    made.begin(begin_order())
    with pytest.raises(StepError, match="generation 1 of run 'turns' has begun"):
        made.begin(begin_order())
    train(made, 2)
    for epoch in (2, 1):
        with pytest.raises(StepError, match=f"epoch {epoch} was ordered after epoch 2"):
            train(made, epoch)
    assert set(made.answers(coordination_pb2.PartyOrder(), coordination_pb2.PartyReport())) == {
        "begin", "train_epoch", "hold_barrier", "synthesise", "try_classifier", "attack_discriminators", "finish",
    }  # fmt: skip


def test_a_diverging_run_names_the_net_and_keeps_its_barrier(settings):
    made = begun(settings, "diverging", message=plan(learning_rate=1e38))
    hold(made, 0)
    with pytest.raises(TertiumError, match=r"of class [12] at 'ann' is not finite at epoch \d, step \d; lower nets"):
        train(made, 1, 2, 3)
    made.close()
    assert (made.state, made._store.held()) == (RunState.PAUSED, [0])


def test_refusals_before_a_row_is_read(settings):
    gone = settings.model_copy(update={"tables": {"t": settings.tables["t"].model_copy(update={"source": "gone.csv"})}})
    silent = gone.policy.model_copy(update={"synthetic_rows": ()})
    with pytest.raises(PolicyError, match=r"of no table: add 't' to policy\.synthetic_rows"):
        session(gone.model_copy(update={"policy": silent}), "refused").prepare(coordination_pb2.Prepare(plan=plan()))
    with pytest.raises(WireError, match="a run of GANs predicts nothing"):
        session(gone, "refused").prepare(coordination_pb2.Prepare(plan=plan(), predict_table="t"))


def test_a_party_without_tensorflow_says_so(settings, monkeypatch):
    monkeypatch.setattr("party.defender.find_spec", lambda name: None)
    with pytest.raises(TertiumError, match=r"the plan has a GAN for every class.*pip install \"tertium\[gan\]\""):
        session(settings, "poor").prepare(coordination_pb2.Prepare(plan=plan()))
