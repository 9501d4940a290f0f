"""GAN runs among real processes: both modes of sharing train the same nets, cost what was forecast, resume, and are sampled from.

One federation of two parties trains all of them, one after the other. Every run: epoch 1 is nobody's but the parties', in epoch
2 the shared discriminator learns, from epoch 3 on generators pay; in job `gan` nothing is shared.
"""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from gan_runs import gan_plan_toml
from local_runs import FinishedRun, follow, read_barrier, train, wait_attending

from coordinator.job_plan import parse_job_plan
from coordinator.local.federation import LocalFederation
from coordinator.run_store import Event
from kernel.errors import BadInputError

pytestmark = pytest.mark.e2e

PARTIES = ("party-a", "party-b")
SERVER = "neutral-server"
CLASSES = ("0", "1")
SECONDS = 500.0
"""Deadline of a run: each role imports TensorFlow, and eight classifiers are trained at the end."""
Nets = dict[str, dict[str, np.ndarray]]


class GanFederation(LocalFederation):
    """Its parties accept both jobs of GANs."""

    def _accepted(self, table: str) -> dict[str, Any]:
        return {"job_kinds": ["privgan", "gan"], "synthetic_rows": [table]}


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GanFederation]:
    plan = parse_job_plan(gan_plan_toml("gans"))
    with GanFederation(tmp_path_factory.mktemp("gans") / "runs" / "federation", plan) as started:
        yield started


@pytest.fixture(scope="module")
def fakes(federation: GanFederation) -> FinishedRun:
    return train(federation, gan_plan_toml("gans", epochs=4, preview_every_epochs=2), "fakes", seconds=SECONDS)


@pytest.fixture(scope="module")
def updates(federation: GanFederation) -> FinishedRun:
    return train(federation, gan_plan_toml("gans", mode="updates", epochs=4), "updates", seconds=SECONDS)


@pytest.fixture(scope="module")
def alone(federation: GanFederation) -> list[Event]:
    """Of training; it is not evaluated."""
    _, first = federation.client.submit(gan_plan_toml("gans", job="gan", epochs=4), "alone")
    return _trained(federation, "alone", first)


def _trained(federation: GanFederation, run: str, first: int) -> list[Event]:
    """Events up to the last barrier; then the run is cancelled: an evaluation takes longer than all four epochs."""
    events = []
    for event in follow(federation.client, run, first, seconds=SECONDS):
        events.append(event)
        if event["event"] == "barrier" and event["barrier"] == 4:
            federation.client.cancel(run)
    assert (events[-1]["event"], "cancelled" in events[-1]["sentence"]) == ("paused", True), events[-1]
    return events


def _nets(federation: GanFederation, party: str, run: str) -> Nets:
    """By class, at the last barrier; arrays by name, [1, …] each."""
    parts = read_barrier(federation.roles, party, run, 4)
    return {label: parts[f"class-{label}"] for label in CLASSES}


def _epochs(events: list[Event]) -> list[Event]:
    return [event for event in events if event["event"] == "epoch"]


def _difference(one: Nets, other: Nets) -> float:
    """The largest, over all arrays of generators."""
    return max(
        float(np.abs(array - other[label][name]).max())
        for label in CLASSES
        for name, array in one[label].items()
        if name.startswith("generator.")
    )


@pytest.mark.parametrize("party", PARTIES)
def test_both_modes_train_the_same_nets_up_to_fixed_point(
    fakes: FinishedRun, updates: FinishedRun, federation: GanFederation, party: str
):
    """With two parties the wrong origin is the other one, whoever draws it. What rounding does is far below what paying does."""
    assert _difference(_nets(federation, party, fakes.run), _nets(federation, party, updates.run)) < 1e-4


@pytest.mark.parametrize("party", PARTIES)
def test_generators_pay_from_the_epoch_the_plan_says(
    fakes: FinishedRun, alone: list[Event], federation: GanFederation, party: str
):
    """Until then they are those of plain GANs."""
    sharing, plain = ([event["losses"][party] for event in _epochs(run)] for run in (fakes.events, alone))
    for epoch in (0, 1):
        for net in ("generator", "discriminator"):
            assert sharing[epoch][net] == pytest.approx(plain[epoch][net], abs=1e-6)
    assert _difference(_nets(federation, party, fakes.run), _nets(federation, party, "alone")) > 1e-3


@pytest.mark.parametrize("mode", ["fakes", "updates"])
def test_epochs_cost_what_was_forecast(mode: str, request: pytest.FixtureRequest):
    run: FinishedRun = request.getfixturevalue(mode)
    (expected,) = (event for event in run.events if event["event"] == "forecast")
    silent, warm_up, *paying = _epochs(run.events)
    assert not any(SERVER in link for link in silent["bytes"])
    assert (len(paying), expected["paying_epochs"], expected["warm_up_epochs"]) == (2, 2, 1)
    for event, link_bytes in ((warm_up, expected["warm_up_bytes"]), *((one, expected["bytes"]) for one in paying)):
        for link, count in link_bytes.items():
            assert event["bytes"][link] == pytest.approx(count, rel=0.01), (event["epoch"], link)
        assert event["rounds"] == expected["rounds"]
        left_out = {link: count for link, count in event["bytes"].items() if link not in link_bytes}
        assert all("coordinator" in link and count < 2000 for link, count in left_out.items()), left_out


@pytest.mark.parametrize("mode", ["fakes", "updates"])
def test_the_set_up_costs_what_was_forecast(mode: str, request: pytest.FixtureRequest):
    """All that a link carried, less its epochs; what is left out is the parties' meeting."""
    run: FinishedRun = request.getfixturevalue(mode)
    (expected,) = (event for event in run.events if event["event"] == "forecast")
    (traffic,) = (event for event in run.events if event["event"] == "traffic")
    for link, count in expected["set_up_bytes"].items():
        epochs = sum(event["bytes"].get(link, 0) for event in _epochs(run.events))
        assert count < traffic["bytes"][link] - epochs < count + 2000, link


def test_alone_no_byte_goes_to_the_neutral_server(alone: list[Event]):
    links = {link for party in PARTIES for link in (f"coordinator>{party}", f"{party}>coordinator")}
    assert [event["bytes"].keys() for event in _epochs(alone)] == [links] * 4


def test_losses_are_noted_by_party_net_and_class(fakes: FinishedRun):
    *_, last = _epochs(fakes.events)
    for party in PARTIES:
        assert {"generator", "discriminator"} <= last["losses"][party].keys()
        assert last["losses"][party]["generator"].keys() == set(CLASSES)
    assert last["losses"][SERVER]["shared_discriminator"].keys() == set(CLASSES)
    assert last["loss"] == pytest.approx(np.mean(list(last["losses"]["party-a"]["generator"].values())))


def test_the_end_is_evaluated(fakes: FinishedRun):
    metrics = json.loads((fakes.directory / "metrics.json").read_bytes())
    assert metrics["scores"].keys() == {f"accuracy.{source}" for source in (*PARTIES, "all", "real")}
    real = metrics["scores"]["accuracy.real"]
    assert real["value"] > 0.8  # zeros and ones are easily told
    held_out = [event["test_rows"] for event in fakes.events if event["event"] == "prepared"]
    assert real["n"] == max(held_out)  # the interval is that of one party's rows
    own = metrics["privacy"]["attacks"]["membership"]["own"]
    assert own.keys() == set(PARTIES)
    for attack in (own[party][label] for party in PARTIES for label in CLASSES):
        assert attack["chance"] == attack["members"] / (attack["members"] + attack["non_members"])
        assert 0 <= attack["low"] <= attack["accuracy"] <= attack["high"] <= 1


def test_previews_lie_in_the_run_directory_and_are_fetched(
    fakes: FinishedRun, federation: GanFederation, tmp_path: Any
):
    previews = [event for event in fakes.events if event["event"] == "preview"]
    assert [(event["epoch"], event["party"]) for event in previews] == [(n, party) for n in (2, 4) for party in PARTIES]
    federation.client.fetch("fakes", tmp_path)
    for event in previews:
        with np.load(tmp_path / event["file"], allow_pickle=False) as arrays:
            assert arrays["values"].shape == (16, 64)
            assert np.all((arrays["values"] >= 0) & (arrays["values"] <= 1))
            assert arrays["labels"].tolist() == [0] * 8 + [1] * 8
            assert arrays["image"].tolist() == [8, 8]


def _sample(federation: GanFederation, run: str, *, seed: int, classes: tuple[int, ...] = ()) -> dict[str, np.ndarray]:
    _, first = federation.client.sample(run, "party-b", 5, classes, seed)
    *_, last = follow(federation.client, run, first)
    assert last["event"] == "sampled", last
    with np.load(federation.roles.parent.parent / run / last["file"], allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def test_a_run_that_is_done_is_sampled_from(fakes: FinishedRun, federation: GanFederation):
    one, again, other = (_sample(federation, "fakes", seed=seed) for seed in (3, 3, 4))
    assert one["values"].shape == (10, 64)
    assert one["labels"].tolist() == [0] * 5 + [1] * 5
    np.testing.assert_array_equal(one["values"], again["values"])
    assert np.abs(one["values"] - other["values"]).max() > 0.01
    only = _sample(federation, "fakes", seed=3, classes=(1,))
    np.testing.assert_allclose(only["values"], one["values"][5:], atol=1e-6)


def test_a_class_nobody_learnt_is_refused_and_the_run_stays_done(fakes: FinishedRun, federation: GanFederation):
    with pytest.raises(BadInputError, match=r"'party-a' has no generator of class 9; it has 0, 1"):
        federation.client.sample("fakes", "party-a", 5, (9,), 0)
    assert len(_sample(federation, "fakes", seed=1)["labels"]) == 10
    with pytest.raises(BadInputError, match="predict is for plans of job split_nn"):
        federation.client.predict("fakes", "digits-a")


def test_killed_and_resumed_the_generators_are_those_of_a_quiet_run(fakes: FinishedRun, federation: GanFederation):
    """kill -9 of a party after the second of four epochs: to the last bit, optimizers too."""
    epochs = 4
    text = gan_plan_toml("gans", epochs=epochs, preview_every_epochs=2)
    _, first = federation.client.submit(text, "killed")
    *_, last = follow(federation.client, "killed", first, until=lambda one: one.get("barrier") == 2)
    assert last["event"] == "barrier"
    federation.kill_role("party-b")
    *_, paused = follow(federation.client, "killed", first)
    assert (paused["event"], "party-b" in paused["sentence"]) == ("paused", True)
    federation.start_role("party-b")
    wait_attending(federation, *PARTIES)
    _, first = federation.client.resume("killed")
    events = _trained(federation, "killed", first)
    resumed = next(event for event in events if event["event"] == "resumed")["barrier"]
    assert 2 <= resumed < epochs, "nothing was left to train after the kill"
    for party in PARTIES:
        found, wanted = (read_barrier(fakes.roles, party, run, 4) for run in ("killed", "fakes"))
        for part, arrays in wanted.items():
            for name, array in arrays.items():
                np.testing.assert_array_equal(found[part][name], array, err_msg=f"{party} {part} {name}")
