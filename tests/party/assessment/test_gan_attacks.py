"""Attacks on stored GANs: the numbers are those of the nets themselves, the controls find what they must and must not."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tomli_w

from coordinator.gan_plan import GanPlan
from kernel.durable import BarrierStore
from kernel.errors import BadInputError
from kernel.gan.nets import discriminator_shapes, initial_weights
from kernel.gan.spec import gan_spec
from kernel.plan_message import plan_hash
from kernel.process import load_settings
from party.assessment.gan_controls import noise, overfitted
from party.assessment.gan_files import read_gan_files
from party.assessment.gan_membership import draw_members, membership
from party.assessment.run_gan_attacks import attack_gans
from party.gan.local_gan import LocalGan, initial_gan
from party.gan.rows import load_gan_rows
from party.policy import part_of
from party.settings import PartySettings

PARTIES = ("party-a", "party-b")
SERVER_PLAN = b"held under"
CLASSES = {"party-a": (0, 5), "party-b": (0,)}


def plan_of(**more):
    nets = {"generator": [12], "discriminator": [24, 12], "latent": 6, "learning_rate": 1e-3}
    parties = [
        {"name": name, "table": "digits", "columns": ["pixel_0_0..pixel_7_7"], "label": "target"} for name in PARTIES
    ]
    return GanPlan.model_validate(
        {"name": "t", "epochs": 4, "batch_rows": 16, "classes": (0, 5), "nets": nets, "test_fraction": 0.5, "seed": 3}
        | {"evaluation": {"members": 40}, "parties": parties, "job": "privgan"}
        | more
    ).message()


def write_run(directory, plan):
    """Every role's files as a run leaves them after epoch 4: nets that moved a little."""
    spec = gan_spec(plan)
    (directory / "plan.bin").write_bytes(plan.SerializeToString(deterministic=True))
    configs, nets, rows = [], {}, {}
    for place, name in enumerate(PARTIES):
        peer = {"address": "127.0.0.1:1", "name": "x"}
        config = directory / f"{name}.toml"
        rows_of = {"source": "builtin:digits", "skip_rows": 90 * place, "first_rows": 1700}
        tls = dict.fromkeys(("certificate", "key", "authority"), "x.pem")
        policy = {"peers": {}, "columns": {}}
        config.write_text(
            tomli_w.dumps(
                {"name": name, "coordinator": peer, "neutral_server": peer, "state_directory": f"{name}-state"}
                | {"tls": tls, "tables": {"digits": rows_of}, "policy": policy, "tensorflow_threads": 1}
            )
        )
        configs.append(config)
        tables = load_settings(PartySettings, config).tables
        rows[name] = load_gan_rows(part_of(plan, name), tables, None, spec.classes, plan.test_fraction, spec.seed)
        parts = {"rows": {"classes": np.array(CLASSES[name])}}
        for label in CLASSES[name]:
            weights = initial_gan(spec, 64, rows[name].image, [label], b"key", name)
            gan = LocalGan(spec, 64, rows[name].image, weights)
            real = rows[name].train[label][None, :24]
            for _ in range(5):
                gan.step(np.ones((1, 24, spec.latent), np.float32), real)
            nets[name, label], parts[f"class-{label}"] = gan, gan.state()
        store = BarrierStore(directory / f"{name}-state" / "run" / "barriers", plan_hash(plan))
        for barrier in (0, 2, 4):
            store.hold(barrier, parts)
    shared = {}
    if spec.shared is not None:
        shapes = discriminator_shapes(spec.shared.net, 64, rows["party-a"].image, len(PARTIES))
        for group, label in enumerate(spec.classes):
            start = initial_weights(shapes, np.random.default_rng(label))
            shared |= {f"group-{group}.{name}": value[None] for name, value in start.items()}
            shared |= {f"group-{group}.momentum.{name}": value[None] for name, value in start.items()}
        server = BarrierStore(directory / "server" / "run" / "barriers", SERVER_PLAN)
        for barrier in (0, 2):  # it was ended before it could hold the last one
            server.hold(barrier, {"shared_discriminator": shared})
    return configs, nets, rows, shared


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("gans")
    plan = plan_of()
    configs, nets, rows, shared = write_run(directory, plan)
    files = read_gan_files(directory / "plan.bin", "run", configs, directory / "server", SERVER_PLAN)
    attack_gans(files, directory / "out.json")
    return gan_spec(plan), nets, rows, shared, files, json.loads((directory / "out.json").read_text())


def test_the_newest_barrier_of_all_roles_is_attacked(run):
    *_, files, document = run
    assert files.barrier == document["barrier"] == 2
    assert [one.name for one in files.parties] == list(PARTIES)
    assert {one.name: tuple(one.states) for one in files.parties} == CLASSES


def drawn(spec, rows, party, label):
    train = rows[party].train[label]
    return train[draw_members(len(train), spec.evaluation.members, spec.seed, label)], rows[party].holdout[label]


def same(found, wanted):
    return all(found[key] == pytest.approx(value) for key, value in vars(wanted).items())


def test_own_max_and_mean_are_those_of_the_nets(run):
    spec, nets, rows, _, _, document = run
    found = document["attacks"]["membership"]
    for party in PARTIES:
        for label in CLASSES[party]:
            own = [nets[party, label].score(0, one) for one in drawn(spec, rows, party, label)]
            assert same(found["own"][party][str(label)], membership(*own))
    for party in PARTIES:
        pool = [np.stack([nets[one, 0].score(0, part) for one in PARTIES]) for part in drawn(spec, rows, party, 0)]
        assert same(found["max"][party]["0"], membership(*(part.max(axis=0) for part in pool)))
        assert same(found["mean"][party]["0"], membership(*(part.mean(axis=0) for part in pool)))
    assert "5" not in found["max"]["party-a"]  # one discriminator alone knows of fives


def test_the_shared_discriminator_by_hand(run):
    spec, _, rows, shared, _, document = run
    found = document["attacks"]["membership"]

    def origins(values, group):
        a = values.astype(np.float64)
        for layer in range(3):
            a = a @ shared[f"group-{group}.kernel_{layer}"][0] + shared[f"group-{group}.bias_{layer}"][0]
            a = a if layer == 2 else np.where(a > 0, a, 0.2 * a)
        return np.exp(a) / np.exp(a).sum(axis=1, keepdims=True)

    for place, party in enumerate(PARTIES):
        for label in CLASSES[party]:
            pool = [origins(part, spec.classes.index(label)) for part in drawn(spec, rows, party, label)]
            assert same(found["shared_own"][party][str(label)], membership(*(one[:, place] for one in pool)))
            assert same(found["shared_max"][party][str(label)], membership(*(one.max(axis=1) for one in pool)))


def test_pooled_and_histograms_count_everything(run):
    spec, nets, rows, _, _, document = run
    attacks = document["attacks"]
    found = attacks["membership_pooled"]["own"]["party-a"]
    classes = attacks["membership"]["own"]["party-a"].values()
    assert found["members"] == sum(one["members"] for one in classes) == 80
    assert found["accuracy"] == pytest.approx(np.mean([one["accuracy"] for one in classes]))
    counts = document["histograms"]["party-a"]["0"]
    assert sum(counts["train"]) == 40
    assert sum(counts["holdout"]) == len(rows["party-a"].holdout[0])
    other = nets["party-a", 0].score(0, drawn(spec, rows, "party-b", 0)[0])
    assert counts["other"] == np.histogram(other, 50, (0, 1))[0].tolist()


def test_controls_find_what_there_is(run):
    """Overfitted discriminators are caught with this few rows too (their interval is above chance); noise is not: a class is
    missed by the 95 % interval with probability 5 % at most, and the seed is fixed."""
    attacks = run[-1]["attacks"]
    controls, pooled = attacks["membership_controls"], attacks["membership_pooled"]
    wanted = {party: {str(label) for label in CLASSES[party]} for party in PARTIES}
    for kind in ("overfitted", "noise"):
        assert {party: set(classes) for party, classes in controls[kind].items()} == wanted
    for party in PARTIES:
        assert pooled["overfitted"][party]["low"] > pooled["overfitted"][party]["chance"]
        assert pooled["noise"][party]["low"] <= pooled["noise"][party]["chance"] <= pooled["noise"][party]["high"]


def test_a_net_that_memorised_noise_is_caught():
    """Positive control where there is nothing to learn but the rows: 64 columns of noise."""
    spec = gan_spec(plan_of(nets={"generator": [12], "discriminator": [128], "latent": 6, "learning_rate": 2e-3}))
    rows = np.random.default_rng(0).uniform(-1, 1, (250, 64)).astype(np.float32)
    found = overfitted(spec, None, rows[:50], rows[50:], label=0)
    assert (found.members, found.non_members) == (50, 100)
    assert found.low > found.chance + 0.2


def test_noise_is_repeatable_and_depends_on_the_class():
    assert noise(50, 200, 1, 2) == noise(50, 200, 1, 2)
    assert noise(50, 200, 1, 2) != noise(50, 200, 1, 3)


def test_without_a_neutral_server_nothing_is_shared(tmp_path):
    configs, *_ = write_run(tmp_path, plan_of(job="gan"))
    files = read_gan_files(tmp_path / "plan.bin", "run", configs, tmp_path / "none", b"")
    assert files.barrier == 4
    assert files.shared_discriminator(0) is None
    early = replace(files, spec=gan_spec(plan_of(shared={"penalty_after_epochs": 3})), shared={})
    assert replace(early, barrier=3).shared_discriminator(0) is None  # it learns from epoch 4 on
    with pytest.raises(BadInputError, match=r"configs are of \['party-b', 'party-a'\]"):
        read_gan_files(tmp_path / "plan.bin", "run", configs[::-1], tmp_path / "none", b"")
    with pytest.raises(BadInputError, match="no barrier of run 'another'"):
        read_gan_files(tmp_path / "plan.bin", "another", configs, tmp_path / "none", b"")
