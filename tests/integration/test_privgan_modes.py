"""privGAN at a live neutral server over mutual TLS: two parties' sessions, in both modes of sharing.

With two parties a wrong origin is the other one, so both modes compute the same thing: nets differ by the ring's rounding only.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np
import pytest

from coordinator.certificate_authority import CertificateAuthority
from coordinator.clients import StackClient
from coordinator.settings import ServerAddress
from kernel.errors import StepError, TertiumError, WireError
from kernel.gan.schedule import Group
from kernel.wire.channel import dial
from kernel.wire.identity import Identity, Peer
from kernel.wire.meter import LinkMeter, MeteredChannel
from kernel.wire.relay import RelayDesk
from kernel.wire.relay_service import RelayService
from kernel.wire.server import Listener
from neutral_server.runs import RunTable
from neutral_server.service import GanTrainingService, StackControlService
from party.defender import import_tensorflow
from party.gan.session import GanSession
from party.settings import PartySettings
from protos.v1 import (
    coordination_pb2,
    gan_training_pb2_grpc,
    plan_pb2,
    relay_pb2_grpc,
    stack_control_pb2,
    stack_control_pb2_grpc,
)

SERVER, PARTIES, EPOCHS = "neutral-server", ("ann", "bob"), 4
FAKES, UPDATES = plan_pb2.SHARING_MODE_FAKES, plan_pb2.SHARING_MODE_UPDATES
GROUPS = (Group((1, 2), (3, 2)), Group((3,), (0, 2)))
"""ann takes her third step alone, and bob all with class 3, of which she has no row."""


def plan(mode, steps_per_round=1):
    return plan_pb2.RunPlan(
        name="p",
        job=plan_pb2.JOB_KIND_PRIVGAN,
        parties=[plan_pb2.PartyPlan(name=name, table="t", columns=["x0..x3"], label="digit") for name in PARTIES],
        epochs=EPOCHS,
        batch_rows=8,
        test_fraction=0.25,
        barrier_every_epochs=1,
        gan=plan_pb2.GanPlan(
            nets=plan_pb2.GanNets(
                kind=plan_pb2.GAN_NET_KIND_DENSE,
                latent=3,
                generator=[6],
                discriminator=[5],
                learning_rate=1e-2,
                beta_1=0.5,
                real_label=0.95,
            ),
            steps=plan_pb2.STEPS_POLICY_PROPORTIONAL,
            classes_at_once=2,
            seed=4,
            shared=plan_pb2.SharedDiscriminatorPlan(
                mode=mode,
                weight=5.0,
                penalty_after_epochs=2,
                warm_up_epochs=1,
                widths=[5],
                steps_per_round=steps_per_round,
                ring=plan_pb2.RingPlan(ring_bits=64, fractional_bits=40),
            ),
            evaluation=plan_pb2.GanEvaluationPlan(
                rows=20, epochs=1, members=5, classifier=plan_pb2.CLASSIFIER_SIZE_PAPER
            ),
        ),
    )


class Federation:
    """A server, a coordinator's line to it, and one session a party; ``both`` carries an order out at both at once."""

    def __init__(self, address, control, party: Callable[[str], tuple]) -> None:
        self.address, self.control, self._party = address, control, party
        self.undo = ExitStack()
        self.run, self.generation, self.sessions = "", 0, {}

    def prepare(self, run, generation, plans):
        self.run, self.generation = run, generation
        gan = plans["ann"].gan
        self.control.prepare_shared(
            stack_control_pb2.PrepareSharedRequest(
                run=run,
                generation=generation,
                plan_hash=bytes(32),
                parties=PARTIES,
                kind=gan.nets.kind,
                shared=gan.shared,
                learning_rate=gan.nets.learning_rate,
                beta_1=gan.nets.beta_1,
                batch_rows=8,
                seed=77,
            )
        )
        self.sessions = {name: self._session(name) for name in PARTIES}
        return self.both(lambda name, one: one.prepare(coordination_pb2.Prepare(plan=plans[name])))

    def begin(self, barrier=0):
        self.control.begin_shared(
            stack_control_pb2.BeginSharedRequest(
                run=self.run,
                generation=self.generation,
                barrier=barrier,
                columns=4,
                groups=[
                    stack_control_pb2.SharedGroup(models=len(group.classes), steps=group.steps) for group in GROUPS
                ],
            )
        )
        order = coordination_pb2.Begin(
            barrier=barrier,
            encoded_columns=[4, 4],
            groups=[coordination_pb2.GanGroup(classes=group.classes, steps=group.steps) for group in GROUPS],
        )
        self.both(lambda _, one: one.begin(order))

    def train(self, epoch, learns):
        if learns:
            self.control.open_shared_epoch(
                stack_control_pb2.OpenSharedEpochRequest(run=self.run, generation=self.generation, epoch=epoch)
            )
        order = coordination_pb2.TrainEpoch(epoch=epoch, batch_seed=100 + epoch)
        return self.both(lambda _, one: one.train_epoch(order))

    def hold(self, barrier):
        self.both(lambda _, one: one.hold_barrier(coordination_pb2.HoldBarrier(barrier=barrier)))
        self.control.hold(
            stack_control_pb2.HoldStackBarrierRequest(run=self.run, generation=self.generation, barrier=barrier)
        )

    def states(self):
        return {
            f"{name}.{number}.{array}": value
            for name, one in self.sessions.items()
            for number, nets in one._nets.items()
            for array, value in nets.state().items()
        }

    def finish(self):
        done = self.both(lambda _, one: one.finish())
        self.control.close_run(self.run, self.generation, "")
        return done

    def abandon(self):
        """As the coordinator ends a run that failed."""
        for one in self.sessions.values():
            one.close()
        self.control.close_run(self.run, self.generation, "the test is over")

    def both(self, order):
        with ThreadPoolExecutor(2) as threads:
            waiting = {name: threads.submit(order, name, one) for name, one in self.sessions.items()}
            return {name: one.result() for name, one in waiting.items()}

    def _session(self, name):
        settings, identity = self._party(name)
        channel = dial(self.address, identity, SERVER)
        self.undo.callback(channel.close)
        meter = LinkMeter()
        metered = MeteredChannel(channel, name, SERVER, meter)
        stubs = {
            "relay": relay_pb2_grpc.RelayStub(metered),
            "gan_training": gan_training_pb2_grpc.GanTrainingStub(metered),
        }
        return GanSession(
            settings,
            identity,
            run=self.run,
            generation=self.generation,
            stubs=stubs,
            meter=meter,
            send_progress=lambda progress: None,
        )


@pytest.fixture(scope="module")
def federation(tmp_path_factory):
    authority = CertificateAuthority.create()

    def identity(role, name):
        issued = authority.issue(Peer(role, name))
        return Identity.from_pem(issued.certificate_pem, issued.key_pem, authority.certificate_pem)

    directory = tmp_path_factory.mktemp("privgan")
    identities = {name: identity("party", name) for name in PARTIES}
    counts = {"ann": {1: 30, 2: 30}, "bob": {1: 20, 2: 20, 3: 20}}
    number = {"type": "real", "low": 0, "high": 1}
    columns = {**{f"x{place}": number for place in range(4)}, "digit": {"type": "integer", "low": 0, "high": 9}}

    def party(name):
        table = directory / f"{name}.csv"
        generator = np.random.default_rng(len(name) + ord(name[0]))
        rows = [
            [*generator.uniform(0, 1, 4).round(3).tolist(), label]
            for label, count in counts[name].items()
            for _ in range(count)
        ]
        table.write_text("x0,x1,x2,x3,digit\n" + "\n".join(",".join(map(str, row)) for row in rows) + "\n")
        settings = PartySettings.model_validate(
            {
                "name": name,
                "coordinator": {"address": "127.0.0.1:1", "name": "coordinator"},
                "neutral_server": {"address": "127.0.0.1:1", "name": SERVER},
                "state_directory": directory / name,
                "tls": {"certificate": "x", "key": "x", "authority": "x"},
                "tables": {"t": {"source": str(table), "columns": columns}},
                "policy": {
                    "peers": {other: identities[other].fingerprint for other in PARTIES if other != name},
                    "job_kinds": ["privgan"],
                    "synthetic_rows": ["t"],
                    "columns": {"t": ["x0..x3"]},
                    "labels": {"t": ["digit"]},
                },
                "tensorflow_threads": 1,
                "wait_seconds": 30,
            }
        )
        return settings, identities[name]

    def no_stack(spec):
        raise AssertionError("a run of GANs has no stack")

    runs = RunTable(SERVER, directory / SERVER, no_stack, lambda what: import_tensorflow(1), wait_seconds=30)
    desk = RelayDesk(runs.members)
    services = (
        (gan_training_pb2_grpc.add_GanTrainingServicer_to_server, GanTrainingService(runs)),
        (relay_pb2_grpc.add_RelayServicer_to_server, RelayService(desk)),
        (stack_control_pb2_grpc.add_StackControlServicer_to_server, StackControlService(SERVER, runs, desk)),
    )
    listener = Listener("127.0.0.1:0", identity("neutral-server", SERVER), services)
    listener.start()
    address = f"127.0.0.1:{listener.port}"
    control = StackClient(ServerAddress(address=address), identity("coordinator", "coordinator"))
    made = Federation(address, control, party)
    try:
        yield made
    finally:
        made.undo.close()
        control.close()
        runs.stop()
        listener.stop(0.1)


def trained(federation, run, message, epochs=range(1, EPOCHS + 1), generation=1, barrier=0, hold=()):
    federation.prepare(run, generation, dict.fromkeys(PARTIES, message))
    federation.begin(barrier)
    done = []
    for epoch in epochs:
        done.append(federation.train(epoch, learns=epoch > 1))
        if epoch in hold:
            federation.hold(epoch)
    return done


@pytest.fixture(scope="module")
def fakes(federation):
    """States and epochs of a run in mode fakes: alone in epoch 1, warm-up in 2, paying from 3."""
    done = trained(federation, "fakes", plan(FAKES))
    states = federation.states()
    return states, done, federation.finish()


def test_both_modes_train_the_same_nets(federation, fakes):
    states, _, _ = fakes
    done = trained(federation, "updates", plan(UPDATES))
    other = federation.states()
    federation.finish()
    assert other.keys() == states.keys()
    for name, array in states.items():
        np.testing.assert_allclose(other[name], array, rtol=1e-4, atol=1e-5, err_msg=name)
    nets = {one.net for one in done[-1]["ann"].losses}
    assert nets == {"generator", "discriminator", "origin"}
    assert {one.net for one in done[1]["ann"].losses} == {"generator", "discriminator"}


def test_paying_changes_the_nets(federation, fakes):
    """Positive control of the equality above: without a weight other generators come out."""
    states, _, _ = fakes
    free = plan(FAKES)
    free.gan.shared.weight = 0.0
    trained(federation, "free", free)
    other = federation.states()
    federation.finish()
    moved = [
        name for name in states if ".generator.kernel" in name and not np.allclose(states[name], other[name], atol=1e-3)
    ]
    assert {name.split(".")[0] for name in moved} == {"ann", "bob"}
    # class 3 is bob's alone: nobody could be told from him, and nothing was paid
    np.testing.assert_array_equal(states["bob.1.generator.kernel_0"], other["bob.1.generator.kernel_0"])


def test_what_is_sent_and_how_often_is_waited(fakes):
    """Two exchanged steps an epoch, of 2 models, 8 rows, 4 columns: 256 bytes and a header each way."""
    _, done, finished = fakes
    silent, warm_up, paying = done[0], done[1], done[-1]
    for name in PARTIES:
        assert (silent[name].rounds, list(silent[name].links)) == (0, [])
        assert (warm_up[name].rounds, paying[name].rounds) == (2, 2)
        up, down = f"{name}>{SERVER}", f"{SERVER}>{name}"
        counted = {usage.link: (usage.messages, usage.bytes) for usage in paying[name].links}
        assert counted.keys() == {up, down}
        for messages, size in counted.values():
            assert messages == 2
            assert 2 * 256 < size < 2 * (256 + 100)
        assert {usage.link: usage.bytes for usage in warm_up[name].links}[down] < 2 * 100
        assert not paying[name].relayed
        assert finished[name].relayed


def test_rounds_of_several_steps_send_once(federation):
    done = trained(federation, "rounds", plan(UPDATES, steps_per_round=5))
    federation.finish()
    for name in PARTIES:
        sent = {usage.link: usage.messages for usage in done[-1][name].links}
        assert sent == {f"{name}>{SERVER}": 1, f"{SERVER}>{name}": 1}


@pytest.mark.parametrize("mode", [FAKES, UPDATES])
def test_a_new_generation_goes_on_from_a_barrier_with_the_same_bits(federation, mode):
    run = f"resumed-{mode}"
    trained(federation, run, plan(mode), epochs=(1, 2, 3, 4), hold=(3,))
    whole = federation.states()
    federation.abandon()
    trained(federation, run, plan(mode), epochs=(4,), generation=2, barrier=3)
    again = federation.states()
    federation.finish()
    for name, array in whole.items():
        np.testing.assert_array_equal(again[name], array)


def test_nobody_can_give_two_parties_two_plans(federation):
    other = plan(FAKES)
    other.gan.shared.weight = 0.0
    with pytest.raises(WireError, match="was given another plan than"):
        federation.prepare("two-plans", 1, {"ann": plan(FAKES), "bob": other})
    federation.abandon()


def test_a_party_that_is_lost_ends_the_others_wait(federation):
    federation.prepare("lost", 1, dict.fromkeys(PARTIES, plan(FAKES)))
    federation.begin()
    federation.control.open_shared_epoch(stack_control_pb2.OpenSharedEpochRequest(run="lost", generation=1, epoch=2))
    ann, bob = federation.sessions.values()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(ann.train_epoch, coordination_pb2.TrainEpoch(epoch=2, batch_seed=1))
        bob.close()
        with pytest.raises(TertiumError, match="'bob'"):
            waiting.result(timeout=30)
    federation.abandon()


def test_an_interrupt_ends_the_wait_with_its_own_words(federation):
    federation.prepare("interrupted", 1, dict.fromkeys(PARTIES, plan(FAKES)))
    federation.begin()
    federation.control.open_shared_epoch(
        stack_control_pb2.OpenSharedEpochRequest(run="interrupted", generation=1, epoch=3)
    )
    ann = federation.sessions["ann"]
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(ann.train_epoch, coordination_pb2.TrainEpoch(epoch=3, batch_seed=1))
        ann.interrupt(StepError("the operator said so"))
        with pytest.raises(StepError, match="the operator said so"):
            waiting.result(timeout=30)
    federation.abandon()
