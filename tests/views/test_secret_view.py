"""Layers on shares: what each role received in training, for each choice of gradient and weights.

With a shared gradient and shared weights everything that a party received is uniform, by itself and after the opening; with an open
gradient, or weights of its own, it is not, and the same attacks tell labels. Every statistical test of truly uniform words fails with
probability at most FAILURE; the attacks at chance, with the same for each.
"""

from collections.abc import Iterator

import numpy as np
import pytest
from house import House, secret_plan
from local_runs import FinishedRun
from recordings import COORDINATOR, SERVER, Opened, Recording, order_of, parts_of, rows_of, words_of
from scipy.stats import norm
from uniformity import FAILURE, uniform_p

from coordinator.stack_secrets import StackSecrets
from kernel.plan_message import plan_hash, share_ring
from kernel.secret.plan import gradient_shift, secret_spec
from kernel.wire.transcripts import FIRST_GRADIENT
from party.assessment.attack import Attack
from party.assessment.background import draw_background
from party.assessment.judge import Judge
from party.assessment.label_inference import LabelDirection, LabelLine, LabelNorm, LabelRidge
from party.assessment.recorded_view import read_views
from party.assessment.run_files import RunFiles, read_run_files
from party.assessment.run_views import RecordedViews
from party.assessment.view import View
from protos.v1 import common_pb2, relay_pb2

pytestmark = pytest.mark.e2e

TRAIN = common_pb2.PURPOSE_TRAIN
READERS = (LabelNorm, LabelDirection, LabelLine, LabelRidge)
FAR = float(norm.isf(FAILURE / 2))
"""Standard errors that an attack at chance may be off by."""


@pytest.fixture(scope="module")
def shared(house: House) -> Recording:
    """One squared layer before the cut; gradient and all weights shared."""
    return house.record("secret-shared", secret_plan("shared", "shared"))


@pytest.fixture(scope="module")
def own(house: House) -> Recording:
    """A shared gradient at the first layer, whose weights are each party's own; the label holder is the first of the plan."""
    return house.record("secret-own", secret_plan("shared", "own", layers=0, holder_first=True))


@pytest.fixture(scope="module")
def opened(house: House) -> Recording:
    return house.record("secret-open", secret_plan("open", "own"))


def rounds(recording: Recording, party: str) -> list[Opened]:
    """Every opening of a peer inside a step."""
    spec, found = secret_spec(recording.run.plan.message(), 30), list[Opened]()
    most = 4 * spec.depth + 4  # more than any step has
    for number in range(1, most + 1):
        found += recording.opened(party, f"opening-{number}")
    return found


def key(one: Opened) -> tuple[int, int, int, str]:
    return one.step.purpose, one.step.epoch, one.step.step, one.topic


def joined(openings: list[Opened]) -> np.ndarray:
    return np.concatenate([one.words.ravel() for one in openings])


def files_of(recording: Recording, house: House) -> RunFiles:
    run, federation = recording.run, house.federation
    plan_file = recording.transcripts / "plan.bin"
    plan_file.write_bytes(run.plan.message().SerializeToString(deterministic=True))
    server_plan = StackSecrets.kept_at(federation.secrets_key).barrier_plan(plan_hash(run.plan.message()))
    configs = [federation.party_config(party) for party in recording.parties]
    return read_run_files(plan_file, run.run, configs, federation.roles / SERVER / "state", server_plan)


def views_of(recording: Recording, house: House) -> tuple[RunFiles, RecordedViews]:
    files = files_of(recording, house)
    return files, read_views(files, recording.transcripts)


def view_at(views: RecordedViews, name: str) -> View:
    return next(view for view in views.views if view.name == name)


def off_chance(attack: type[Attack], view: View, files: RunFiles, views: RecordedViews) -> tuple[float, float]:
    """The attack's AUC, and how many standard errors (DeLong) it is from 0.5."""
    targets, labels = files.targets(views.rows), files.labels[views.rows].astype(np.int64)
    background = draw_background(targets, labels, 0.2, 1)
    judge = Judge(targets, labels, background, at_most=100, seed=1)
    score = attack(view, background).evaluate(judge).scores["auc"]
    error = (score.high - score.low) / (2 * 1.96)
    return score.value, abs(score.value - 0.5) / error if error else np.inf


def test_what_peers_send_is_uniform(shared: Recording):
    for party in shared.parties:
        inside, rows = rounds(shared, party), shared.opened(party, "opening-e")
        assert sum(one.words.size for one in rows) == 569 * 30
        assert sum(one.words.size for one in inside if one.step.purpose == TRAIN) > 20_000
        assert uniform_p(joined(rows)) >= FAILURE
        assert uniform_p(joined(inside)) >= FAILURE


def test_what_is_opened_is_uniform_but_for_the_range_proofs(shared: Recording):
    """The sum of what the two parties sent each other. A proof's sum is zero: one word for each step, of the one layer that has one."""
    first, second = ({key(one): one.words for one in rounds(shared, party)} for party in shared.parties)
    assert first.keys() == second.keys()
    sums = np.concatenate([(first[one] + second[one]).ravel() for one in first])
    steps = {one[:3] for one in first}
    assert len(sums) - np.count_nonzero(sums) == len(steps) == 3 * 7 + 3  # training, evaluation
    assert uniform_p(sums[sums != 0]) >= FAILURE
    rows = [joined(shared.opened(party, "opening-e")) for party in shared.parties]
    assert uniform_p(rows[0] + rows[1]) >= FAILURE


def test_a_party_receives_no_gradient_but_a_share(shared: Recording):
    """The first of the plan is sent uniform words, the other a seed and the ends of steps; nobody is revealed a sum."""
    first, second = shared.parties
    frames = shared.received(first, "ServerFrame.gradient_share")
    words = np.concatenate([words_of(one.message.gradient_share, one.payload) for one in frames])
    assert words.shape == (3 * 398, 8)
    assert uniform_p(words) >= FAILURE
    assert shared.received(second, "ServerFrame.gradient_share") == []
    for party in shared.parties:
        assert shared.received(party, "ServerFrame.cut_gradient") == []
        assert shared.opened(party, FIRST_GRADIENT) == []
        (seed,) = {one.message.joined.gradient_seed for one in shared.received(party, "ServerFrame.joined")}
        assert len(seed) == (0 if party == first else 32)
    assert not any(seed in one.data for one in shared.received(first))


def test_corrections_of_the_dealer_are_uniform(shared: Recording):
    holder = max(shared.parties)
    found = [words_of(one.message.words, one.payload).ravel() for one in shared.received(holder, "Correction")]
    assert sum(map(len, found)) > 20_000
    assert uniform_p(np.concatenate(found)) >= FAILURE
    assert all(shared.received(party, "Correction") == [] for party in shared.parties if party != holder)


def test_the_dealer_receives_no_opening(shared: Recording, own: Recording, opened: Recording):
    payloads = {common_pb2.Tensor, common_pb2.RingTensor, relay_pb2.Opening, relay_pb2.Envelope}
    names = {one.DESCRIPTOR.full_name for one in payloads}
    for recording in (shared, own, opened):
        received = recording.received(COORDINATOR)
        assert not names & {part.DESCRIPTOR.full_name for one in received for part in parts_of(one.message)}
        assert {one.payload for one in received} == {b""}


@pytest.mark.parametrize("name", ["shared", "own", "opened"])
def test_the_server_has_shares_whose_sum_is_the_output_at_the_cut(name: str, request: pytest.FixtureRequest):
    """Against the network of barrier 0 in float64. 2^-18 per value on shares, times what they are multiplied by: below 1e-3."""
    recording = request.getfixturevalue(name)
    shares = [recording.shares(party, TRAIN) for party in recording.parties]
    for words in shares:
        assert words.shape == (3 * 398, 8)
        assert uniform_p(words) >= FAILURE
    assert uniform_p(shares[0] + shares[1]) < 1e-100
    run, rows = recording.run, recording.run.plan.batch_rows
    encoded = [rows_of(run, party).encoded for party in recording.parties]
    batch = order_of(run, len(encoded[0]), 1)[:rows]
    wanted = np.concatenate([one[batch] for one in encoded], axis=1).astype(np.float64)
    first, *others = weights_of(recording, 0)
    wanted = wanted @ first
    for kernel in others:
        wanted = wanted**2 @ kernel
    found = share_ring(run.plan.message()).decode(shares[0] + shares[1])[:rows]
    assert np.abs(wanted).max() > 0.5
    assert np.abs(found - wanted).max() < 1e-3


def weights_of(recording: Recording, barrier: int) -> Iterator[np.ndarray]:
    """Kernels up to the cut, float64, from all parties' shares and blocks."""
    run: FinishedRun = recording.run
    state = [run.barrier(party, barrier)["secret_stack"] for party in recording.parties]
    depth = len(run.plan.secret_layers) + 1
    for number in range(1, depth + 1):
        if f"weights_{number}" in state[0]:
            words = state[0][f"weights_{number}"] + state[1][f"weights_{number}"]
            yield words.view(np.int64) * 2.0 ** -run.plan.ring[1]
        else:
            yield np.concatenate([run.theta(party, barrier) for party in recording.parties]).astype(np.float64)


def test_a_label_attack_on_a_share_is_at_chance(shared: Recording, own: Recording, house: House):
    """As the first party of the plan and as the other; on the gradient itself, which no party has, the same attacks succeed."""
    for recording in (shared, own):
        files, views = views_of(recording, house)
        holder = next(view for view in views.views if view.role == "feature-holder")
        assert holder.cut_gradient is None
        assert holder.gradient_share is not None
        for attack in READERS:
            assert attack.reads(holder) == ("gradient_share",)
            assert off_chance(attack, holder, files, views)[1] < FAR
        bare = View(
            role="feature-holder", name="all", rows=views.rows, cut_gradient=view_at(views, SERVER).cut_gradient
        )
        for attack in (LabelDirection, LabelRidge):
            value, off = off_chance(attack, bare, files, views)
            assert value > 0.95
            assert off > FAR


def test_shares_add_up_to_the_gradient_that_moves_the_weights(own: Recording, house: House):
    """Plain gradient descent: what a party's weights moved by in the run is the rate times its rows' transpose times the sum of shares."""
    files, views = views_of(own, house)
    gradient = view_at(views, SERVER).cut_gradient
    for party in files.parties:
        moved = own.run.theta(party.name, 3).astype(np.float64) - own.run.theta(party.name, 0)
        wanted = -0.125 * sum(party.rows[views.rows].T.astype(np.float64) @ epoch for epoch in gradient)
        assert np.abs(moved).max() > 0.01
        assert np.abs(moved - wanted).max() < 1e-4


def test_with_weights_of_its_own_a_party_is_told_their_gradient(own: Recording, house: House):
    """What peers revealed, with its own share, is X^T G; what was solved for fulfils the last step's equations."""
    files, views = views_of(own, house)
    plan = files.plan
    order = np.searchsorted(views.rows, order_of(own.run, 569, 3))[-(398 % 57 or 57) :]
    for party in files.parties:
        peer = next(name for name in own.parties if name != party.name)
        found = own.opened(party.name, FIRST_GRADIENT)
        assert {one.step.sender for one in found} == {peer}
        assert len(found) == 3 * 7
        assert uniform_p(joined(found)) >= FAILURE  # a share of it tells nothing
        x = party.rows[views.rows[order]].T.astype(np.float64)
        wanted = x @ view_at(views, SERVER).cut_gradient[-1][order]
        solved = x @ view_at(views, party.name).solved_gradient[-1][order]
        rounding = x.shape[1] * 4 * 2.0 ** -(plan.ring.fractional_bits + gradient_shift(plan.batch_rows))
        assert np.abs(solved - wanted).max() < rounding + 0.02 * np.abs(wanted).max()
        assert np.abs(wanted).max() > 1e-3


def test_an_open_gradient_tells_labels(opened: Recording, house: House):
    """The positive control over a whole run: what the party received."""
    files, views = views_of(opened, house)
    clinic = view_at(views, "clinic")
    assert clinic.gradient_share is None
    for attack in (LabelDirection, LabelRidge):
        assert attack.reads(clinic) == ("cut_gradient",)
        assert off_chance(attack, clinic, files, views)[0] > 0.95
    frames = [opened.received(party, "ServerFrame.cut_gradient") for party in opened.parties]
    assert [one.payload for one in frames[0]] == [one.payload for one in frames[1]]
