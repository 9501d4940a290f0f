"""coordinator.rounds.gan: who is ordered what and when, and what is noted of it, with roles that obey at once."""

import json

import numpy as np
import pytest
from gan_runs import gan_plan_toml
from obedient import Parties, Server

from coordinator.metrics_file import metrics_of
from coordinator.rounds.gan import GanRounds, party_noise_seed
from coordinator.run_store import RunRecord
from coordinator.sampling import Sampling
from coordinator.settings import CoordinatorSettings
from coordinator.stack_secrets import StackSecrets
from kernel.errors import BadInputError, SettingsError
from kernel.plan_message import plan_hash
from kernel.randomness import SecretKey
from kernel.run_state import RunState

SERVER = "neutral-server"
BOTH = {"party-a": {0: (70, 20), 1: (60, 20)}, "party-b": {0: (30, 20), 1: (20, 20)}}
SECRETS = StackSecrets(SecretKey(bytes(32)))
NETS = {"latent": 8, "generator": [16], "discriminator": [16], "classes_at_once": 2}


def gan_toml(job="privgan", *, epochs=3, penalty_after_epochs=0, warm_up_epochs=0, **sections):
    """Generators pay from the first epoch on; 32 rows a batch, a barrier every other epoch."""
    return gan_plan_toml(
        "digits",
        job=job,
        seed=7,
        epochs=epochs,
        penalty_after_epochs=penalty_after_epochs,
        warm_up_epochs=warm_up_epochs,
        weight=2.0,
        **{
            "batch_rows": 32,
            "barrier_every_epochs": 2,
            "nets": NETS,
            "steps": {"policy": "equal_steps"},
            **sections,
        },
    )


class Scene:
    """A run's rounds among obedient roles."""

    def __init__(self, directory, text, counts=BOTH, **parties):
        self.seen = []
        held = parties.pop("server_barriers", [])
        self.parties, self.server = Parties(self.seen, counts, **parties), Server(self.seen, held)
        self.record = RunRecord.create(directory / "run-1", text)
        settings = {
            "neutral_server": {"address": "nowhere:1"},
            "runs_directory": directory,
            "tls": {"certificate": directory, "key": directory, "authority": directory},
        }
        self.settings = CoordinatorSettings.model_validate(settings)

    def rounds(self):
        return GanRounds(self.record, self.parties, self.server, self.settings, SECRETS)

    def train(self):
        self.rounds().train()
        return self

    def events(self, kind):
        return [event for event in self.record.events if event["event"] == kind]


@pytest.fixture
def scene(tmp_path):
    def make(text=None, counts=BOTH, **parties):
        return Scene(tmp_path, gan_toml() if text is None else text, counts, **parties)

    return make


def test_a_run_is_prepared_begun_trained_evaluated_and_finished_in_this_order(scene):
    found = scene().train()
    kinds = [kind for name, kind in found.seen if name in ("party-a", SERVER)]
    assert kinds[:6] == ["prepare_shared", "prepare", "begin_shared", "begin", "hold_barrier", "hold 0"]
    epoch = [["open_shared_epoch {0}", "train_epoch"], ["hold_barrier", "hold {0}"]]
    wanted = [call.format(number) for number in (1, 2, 3) for part in epoch[: 1 + (number > 1)] for call in part]
    assert kinds[6 : 6 + len(wanted)] == wanted
    rest = ["synthesise", "synthesise", *["try_classifier"] * 4, "attack_discriminators", "finish", "close_run"]
    assert kinds[6 + len(wanted) :] == rest
    assert found.record.state is RunState.DONE


def test_the_server_is_told_nets_and_steps_and_no_class_seed_or_table(scene):
    found = scene(gan_toml()).train()
    prepared, begun = found.server.requests["prepare_shared"], found.server.requests["begin_shared"]
    assert (list(prepared.parties), prepared.batch_rows) == (["party-a", "party-b"], 32)
    assert prepared.shared.weight == 2.0
    assert prepared.seed == SECRETS.stack_seed(7)
    assert prepared.seed != 7
    assert prepared.plan_hash == SECRETS.barrier_plan(plan_hash(found.record.plan.message()))
    assert (begun.columns, begun.image_height, begun.image_width) == (4, 2, 2)
    assert [(group.models, list(group.steps)) for group in begun.groups] == [(1, [3, 3]), (1, [2, 2])]
    assert {field.name for field, _ in prepared.ListFields()} <= {
        "run", "generation", "plan_hash", "parties", "kind", "shared", "learning_rate", "beta_1", "batch_rows", "seed"
    }  # fmt: skip


def test_a_plain_gan_leaves_the_server_out(scene):
    found = scene(gan_toml("gan")).train()
    assert all(name != SERVER for name, _ in found.seen)
    assert found.record.state is RunState.DONE
    assert metrics_of(found.record)["protocol"] == "none"


def test_the_shared_discriminator_is_opened_in_the_epochs_it_learns_in(scene):
    """Five epochs, paid from the third on, and one of warm-up: it learns in 2, 3, 4, 5."""
    found = scene(gan_toml(epochs=5, penalty_after_epochs=2, warm_up_epochs=1)).train()
    opened = [kind for name, kind in found.seen if name == SERVER and kind.startswith("open")]
    assert opened == [f"open_shared_epoch {epoch}" for epoch in (2, 3, 4, 5)]
    assert [SERVER in event["phases"] for event in found.events("epoch")] == [False, True, True, True, True]
    assert [SERVER in event["losses"] for event in found.events("epoch")] == [False, True, True, True, True]


def test_an_epoch_is_noted_with_losses_by_party_net_and_class(scene):
    """Classes with equal counts are one group, of two models."""
    alike = {"party-a": {0: (70, 20), 1: (70, 20)}, "party-b": {0: (30, 20), 1: (30, 20)}}
    found = scene(counts=alike).train()
    first = found.events("epoch")[0]
    assert first["losses"]["party-a"] == {"generator": {"0": 1.0, "1": 2.0}}
    assert first["losses"][SERVER] == {"shared_discriminator": {"0": 0.7}}
    assert (first["loss"], first["seconds"], first["rows"], first["rounds"]) == (1.5, 2.0, 128, 3)
    assert first["bytes"] == {"party-a>neutral-server": 10, "party-b>neutral-server": 10}
    progress = found.events("progress")
    assert len(progress) == 3
    assert progress[0]["loss"] == 0.5


def test_a_run_resumes_from_the_newest_barrier_that_all_hold(scene):
    held = {"party-a": [0, 2, 4], "party-b": [0, 2]}
    found = scene(gan_toml(epochs=5), barriers=held, server_barriers=[0, 2, 4]).train()
    begun = [order.begin for name, order in found.parties.orders if order.WhichOneof("kind") == "begin"]
    assert {one.barrier for one in begun} == {2}
    assert found.server.requests["begin_shared"].barrier == 2
    assert [event["epoch"] for event in found.events("epoch")] == [3, 4, 5]
    assert [event["barrier"] for event in found.events("barrier")] == [4, 5]


def test_without_a_server_its_barriers_do_not_count(scene):
    held = {"party-a": [0, 2], "party-b": [0, 2]}
    found = scene(gan_toml("gan"), barriers=held).train()
    assert [event["epoch"] for event in found.events("epoch")] == [3]


def test_the_schedule_is_noted_and_sent(scene):
    found = scene(gan_toml(steps={"policy": "proportional"})).train()
    (noted,) = found.events("schedule")
    assert noted["policy"] == "proportional"
    assert noted["groups"] == [
        {"classes": [0], "steps": {"party-a": 3, "party-b": 1}},
        {"classes": [1], "steps": {"party-a": 2, "party-b": 1}},
    ]
    begin = next(order.begin for name, order in found.parties.orders if order.WhichOneof("kind") == "begin")
    assert [(list(group.classes), list(group.steps)) for group in begin.groups] == [([0], [3, 1]), ([1], [2, 1])]
    assert list(begin.encoded_columns) == [4, 4]


def test_a_class_a_party_lacks_is_said(scene):
    found = scene(counts={"party-a": {0: (70, 20), 1: (60, 20)}, "party-b": {0: (30, 20), 1: (0, 0)}}).train()
    (missing,) = found.events("classes_missing")
    assert (missing["party"], missing["classes"]) == ("party-b", [1])
    assert [event["classes"] for event in found.events("preview")] == [[0, 1], [0]]
    # a classifier cannot be judged on one class, nor learn from one
    assert {event["party"] for event in found.events("classifier")} == {"party-a"}
    assert [event["source"] for event in found.events("classifier")] == ["party-a", "all", "real"]


def test_what_was_prepared_is_noted_with_counts_by_class(scene):
    prepared = scene().train().events("prepared")
    assert prepared[0]["classes"] == {"0": 70, "1": 60}
    assert (prepared[0]["train_rows"], prepared[0]["test_rows"], prepared[0]["columns"]) == (130, 40, 4)


@pytest.mark.parametrize(
    ("parties", "found"),
    [
        ({"columns": {"party-a": 4, "party-b": 6}}, "party-a 4 columns, images of 2 x 2, party-b 6 columns"),
        ({"image": {"party-a": (2, 2), "party-b": (0, 0)}}, "party-b 4 columns, no images"),
        ({"image": {"party-a": (2, 2), "party-b": (1, 4)}}, "images of 1 x 4"),
    ],
)
def test_rows_of_several_shapes_are_refused_by_name(scene, parties, found):
    one = scene(**parties)
    with pytest.raises(BadInputError, match=found):
        one.train()
    assert "rows differ between parties" in one.parties.aborted[-1]
    assert one.seen[-1] == (SERVER, "close_run")


def test_fakes_too_long_for_a_message_are_refused_once_columns_are_known(scene):
    with pytest.raises(BadInputError, match=r"a step sends 76 MiB of fakes .* lower batch_rows"):
        scene(gan_toml(batch_rows=1000), columns=10_000, image=(0, 0)).train()


def test_evaluation_rows_too_long_for_a_message_are_refused_before_training(scene):
    one = scene(gan_toml(evaluation={"rows": 100_000}), columns=1000, image=(0, 0))
    with pytest.raises(BadInputError, match="lower evaluation"):
        one.train()
    assert not one.events("epoch")


def test_convolutional_nets_need_images(scene):
    one = scene(gan_toml(nets={"kind": "convolutional"}), image=(0, 0))
    with pytest.raises(SettingsError, match="need rows that are images"):
        one.train()


def test_previews_come_as_often_as_the_plan_says_and_at_the_end(scene):
    found = scene(gan_toml(preview_every_epochs=1)).train()
    previews = found.events("preview")
    assert [(event["epoch"], event["party"]) for event in previews] == [
        (epoch, party) for epoch in (1, 2, 3) for party in ("party-a", "party-b")
    ]
    assert previews[0]["file"] == "samples/epoch-0001-party-a.npz"
    with np.load(found.record.directory / previews[0]["file"], allow_pickle=False) as arrays:
        assert arrays["values"].shape == (16, 4)
        assert arrays["labels"].tolist() == [0] * 8 + [1] * 8
        assert arrays["image"].tolist() == [2, 2]


def test_classifiers_learn_from_each_party_from_all_and_from_real_rows_everywhere(scene):
    found = scene().train()
    assert [(event["source"], event["party"], event["rows"]) for event in found.events("classifier")] == [
        (source, party, 60) for source in ("party-a", "party-b", "all", "real") for party in ("party-a", "party-b")
    ]
    orders = [
        order.try_classifier for name, order in found.parties.orders if order.WhichOneof("kind") == "try_classifier"
    ]
    assert [order.HasField("rows") for order in orders] == [True] * 6 + [False] * 2
    assert (orders[-1].most_rows, orders[-1].epochs) == (60, 2)


def test_rows_that_are_judged_together_come_of_noise_of_each_partys_own(scene):
    found = scene().train()
    orders = [
        (name, order.synthesise) for name, order in found.parties.orders if order.WhichOneof("kind") == "synthesise"
    ]
    judged = {name: order.seed for name, order in orders[-2:]}
    assert judged == {name: party_noise_seed(7, place) for place, name in enumerate(("party-a", "party-b"))}
    assert len({*judged.values(), 7}) == 3


def test_a_party_with_few_rows_held_out_judges_nothing(scene):
    """Nineteen in all, where parties score on twenty."""
    few = {"party-a": {0: (70, 10), 1: (60, 10)}, "party-b": {0: (30, 10), 1: (20, 9)}}
    found = scene(counts=few).train()
    assert {event["party"] for event in found.events("classifier")} == {"party-a"}
    assert {event["source"] for event in found.events("classifier")} == {"party-a", "party-b", "all", "real"}


def test_metrics_pool_the_classifiers_over_parties_and_hold_the_attacks(scene):
    """0.75 of 40 rows at both, which may be the same rows: 30 of 40."""
    found = scene().train()
    metrics = json.loads((found.record.directory / "metrics.json").read_bytes())
    assert metrics["scores"].keys() == {f"accuracy.{source}" for source in ("party-a", "party-b", "all", "real")}
    score = metrics["scores"]["accuracy.all"]
    assert (score["value"], score["n"]) == (0.75, 40)
    assert score["low"] == pytest.approx(0.5981, abs=1e-4)  # Wilson, by hand
    assert metrics["privacy"]["attacks"]["membership"]["own"]["party-a"]["0"]["chance"] == 0.25
    assert found.events("histograms")[0]["classes"]["0"] == {"train": [1, 2], "holdout": [3, 4]}
    assert metrics["bytes"] == {
        "coordinator>neutral-server": 5, "party-a>neutral-server": 100, "party-b>neutral-server": 100
    }  # fmt: skip


class TestSampling:
    def sample(self, one, party="party-b", classes=(), rows=5):
        one.record.next_generation()
        rounds = one.rounds()
        del one.seen[:], one.parties.orders[:]
        one.parties.asked.clear()
        rounds.sample(Sampling(party, rows, classes, 11), "request-1")
        return one.events("sampled")[-1]

    @pytest.fixture
    def trained(self, scene):
        one = scene().train()
        one.parties.barriers = {"party-a": [2, 3], "party-b": [2, 3]}
        return one

    def test_one_party_alone_takes_part(self, trained):
        event = self.sample(trained)
        assert trained.seen == [("party-b", kind) for kind in ("prepare", "begin", "synthesise", "finish")]
        assert trained.parties.asked == {"party-b"}
        assert (event["party"], event["rows"], event["file"]) == ("party-b", 10, "samples/request-1.npz")
        prepare, begin = trained.parties.orders[0][1].prepare, trained.parties.orders[1][1].begin
        assert prepare.request == "request-1"
        assert begin.barrier == 3
        assert [list(group.classes) for group in begin.groups] == [[0], [1]]
        with np.load(trained.record.directory / event["file"], allow_pickle=False) as arrays:
            assert arrays["labels"].tolist() == [0] * 5 + [1] * 5

    def test_of_the_classes_and_the_seed_that_were_asked_for(self, trained):
        self.sample(trained, classes=(1,))
        order = trained.parties.orders[2][1].synthesise
        assert (list(order.classes), order.rows_per_class, order.seed) == ([1], 5, 11)

    def test_many_rows_come_class_by_class(self, trained):
        """A message of 4 columns takes 2.7 million rows."""
        trained.parties._columns = 100_000
        event = self.sample(trained, rows=100)
        kinds = [kind for _, kind in trained.seen]
        assert kinds.count("synthesise") == 2
        assert event["rows"] == 200

    def test_more_rows_of_a_class_than_a_message_takes_are_refused(self, trained):
        trained.parties._columns = 100_000
        with pytest.raises(
            BadInputError, match=r"200 rows of a class are too many for one message; ask for 165 at most"
        ):
            self.sample(trained, rows=200)

    def test_a_party_whose_last_barrier_is_gone_is_refused(self, trained):
        trained.parties.barriers = {"party-b": [2]}
        with pytest.raises(BadInputError, match="not trained to its end at 'party-b'"):
            self.sample(trained)


def test_parties_named_as_sources_are_refused():
    from coordinator.job_plan import parse_job_plan

    with pytest.raises(SettingsError, match="a party cannot be called 'all'"):
        parse_job_plan(gan_toml().replace('"party-a"', '"all"'))
