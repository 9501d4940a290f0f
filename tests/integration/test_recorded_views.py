"""Views read from recordings against what the roles computed: z_1 = X Theta, h_1 and h_L by the server's own weights."""

import numpy as np
import pytest
from house import TWO_PARTIES, House
from local_runs import network_outputs, plan_toml
from recordings import COORDINATOR, SERVER, Recording, labels_of, order_of, rows_of, split_of

from coordinator.stack_secrets import StackSecrets
from kernel.defender_plan import defender_spec
from kernel.errors import BadInputError
from kernel.plan_message import plan_hash, share_ring
from party.assessment.first_bias import activated
from party.assessment.recorded_view import read_views
from party.assessment.run_files import RunFiles, read_run_files
from party.assessment.run_views import RecordedViews
from party.assessment.stack import moving_epochs
from party.assessment.view import View
from party.defender import Defender

pytestmark = pytest.mark.e2e


@pytest.fixture(params=["masked_sum", "beaver", "in three pieces"])
def recording(request: pytest.FixtureRequest, house: House) -> Recording:
    """Both protocols, and a run whose batches travel in pieces."""
    if request.param != "in three pieces":
        return request.getfixturevalue(f"{request.param}_recording")
    return house.record(
        "pieces", plan_toml("breast_cancer", TWO_PARTIES, micro_batches=3), predict_table="breast_cancer"
    )


def _files(recording: Recording, house: House) -> RunFiles:
    run, federation = recording.run, house.federation
    plan_file = recording.transcripts / "plan.bin"
    plan_file.write_bytes(run.plan.message().SerializeToString(deterministic=True))
    server_plan = StackSecrets.kept_at(federation.secrets_key).barrier_plan(plan_hash(run.plan.message()))
    configs = [federation.party_config(party) for party in recording.parties]
    return read_run_files(plan_file, run.run, configs, federation.roles / SERVER / "state", server_plan)


@pytest.fixture
def files(recording: Recording, house: House) -> RunFiles:
    return _files(recording, house)


@pytest.fixture
def views(recording: Recording, files: RunFiles) -> RecordedViews:
    return read_views(files, recording.transcripts)


def _of(views: RecordedViews, name: str) -> View:
    return next(view for view in views.views if view.name == name)


def _first_batch(recording: Recording, files: RunFiles) -> np.ndarray:
    """Positions on the views' row axis of the rows of step 0 of epoch 1."""
    rows = order_of(recording.run, len(files.labels), 1)[: recording.run.plan.batch_rows]
    return np.searchsorted(files.split.train, rows)


def test_every_role_has_its_view_and_no_more(recording: Recording, views: RecordedViews):
    given = {
        view.name: {
            name
            for name in ("z1", "h1", "h_last", "head_gradient", "cut_gradient", "defender_gradient")
            if getattr(view, name) is not None
        }
        for view in views.views
    }
    assert given == {
        SERVER: {"z1", "h1", "h_last", "head_gradient", "cut_gradient"},
        "clinic": {"cut_gradient"},
        "laboratory": {"h_last", "cut_gradient"},
    }
    assert [view.role for view in views.views] == ["neutral-server", "feature-holder", "label-holder"]
    assert views.epochs == (1, 2, 3)
    assert np.array_equal(views.rows, split_of(recording.run, 569).train)
    assert COORDINATOR not in views.received


def test_rows_and_labels_are_the_parties_own(recording: Recording, files: RunFiles, views: RecordedViews):
    own = [rows_of(recording.run, party).encoded for party in recording.parties]
    assert np.array_equal(files.targets(views.rows), np.concatenate(own, axis=1)[views.rows])
    assert np.array_equal(files.labels, labels_of(recording.run))
    for party, encoded in zip(recording.parties, own, strict=True):
        assert np.array_equal(_of(views, party).own_rows, encoded[views.rows])
        assert np.array_equal(_of(views, party).own_weights, recording.run.theta(party))


def test_z1_of_the_first_batch_is_the_rows_times_the_first_weights(
    recording: Recording, files: RunFiles, views: RecordedViews
):
    """Up to fixed point: the first batch of each epoch 1 ran at the initial weights."""
    batch, run = _first_batch(recording, files), recording.run
    wanted = sum(
        rows_of(run, party).encoded[views.rows[batch]].astype(np.float64) @ run.theta(party, 0)
        for party in recording.parties
    )
    bits = share_ring(files.plan).fractional_bits
    tolerance = 2.0 ** -(bits - 2) if run.plan.first_layer.protocol == "masked_sum" else 30 * 8 * 2.0**-20
    assert np.abs(_of(views, SERVER).z1[0][batch] - wanted).max() < tolerance


def test_h1_and_h_last_follow_from_z1_by_the_servers_weights(
    recording: Recording, files: RunFiles, views: RecordedViews
):
    """Forward through the stack of barrier 0: what the label holder got for that batch."""
    batch, server = _first_batch(recording, files), _of(views, SERVER)
    stack = recording.run.barrier(SERVER, 0)["stack"]
    assert np.allclose(server.h1[0][batch], np.tanh(server.z1[0][batch] + stack["bias_0"]), atol=1e-6)
    h_last = np.tanh(server.h1[0][batch] @ stack["kernel_1"] + stack["bias_1"])
    assert np.allclose(server.h_last[0][batch], h_last, atol=1e-5)
    assert np.array_equal(server.h_last, _of(views, "laboratory").h_last)


def test_the_bias_is_moved_as_the_server_moved_it(recording: Recording, files: RunFiles, views: RecordedViews):
    """The last batch of the last epoch but one: h_1 there by the bias of barrier 2, after all its steps."""
    run, server = recording.run, _of(views, SERVER)
    first = np.searchsorted(views.rows, order_of(run, 569, 3)[: run.plan.batch_rows])
    bias = run.barrier(SERVER, 2)["stack"]["bias_0"]
    assert np.abs(bias - run.barrier(SERVER, 0)["stack"]["bias_0"]).max() > 1e-3  # it has moved
    assert np.allclose(server.h1[2][first], np.tanh(server.z1[2][first] + bias), atol=1e-6)


def test_gradients_give_the_first_layers_movement(recording: Recording, files: RunFiles, views: RecordedViews):
    """Plain gradient descent: Theta moved by -lr X^T (dL/dz_1), summed over all steps of all epochs."""
    run = recording.run
    for party in recording.parties:
        view = _of(views, party)
        moved = -run.plan.optimizer.learning_rate * sum(view.own_rows.T @ epoch for epoch in view.cut_gradient)
        assert np.allclose(run.theta(party, 0) + moved, view.own_weights, atol=1e-4)


def test_the_sign_of_the_head_gradient_is_the_label(files: RunFiles, views: RecordedViews):
    """Aligned by row: dL/dh_L is (p - y) times one vector, so rows of one class point one way in every epoch."""
    labels = files.labels[views.rows].astype(bool)
    for epoch in _of(views, SERVER).head_gradient:
        side = epoch @ np.linalg.svd(epoch, full_matrices=False)[2][0] > 0
        assert np.array_equal(side, labels) or np.array_equal(side, ~labels)


def test_predictions_are_the_trained_networks(recording: Recording, files: RunFiles, views: RecordedViews):
    run, test = recording.run, files.split.test
    z1 = sum(rows_of(run, party).encoded[test] @ run.theta(party) for party in recording.parties)
    wanted = 1 / (1 + np.exp(-network_outputs(run, z1)))
    assert np.array_equal(views.predictions.rows, test)
    assert np.allclose(views.predictions.outputs, wanted, atol=2e-3)


def test_few_epochs_are_the_first_and_the_last(recording: Recording, files: RunFiles, views: RecordedViews):
    few = read_views(files, recording.transcripts, most_epochs=2)
    assert few.epochs == (1, 3)
    assert few.recorded_epochs == 3
    assert np.array_equal(_of(few, SERVER).z1, _of(views, SERVER).z1[[0, 2]])
    assert np.array_equal(_of(few, SERVER).h1, _of(views, SERVER).h1[[0, 2]])


def test_what_was_received_is_counted(recording: Recording, views: RecordedViews):
    """Three epochs and one evaluation: 398 and 171 rows, 8 wide, once from each party."""
    received = views.received
    assert received[SERVER]["share"]["numbers"] == 2 * 8 * (3 * 398 + 171)
    assert received[SERVER]["head_gradient"]["numbers"] == 8 * 3 * 398
    assert received["clinic"]["cut_gradient"] == received["laboratory"]["cut_gradient"]
    assert received["clinic"]["cut_gradient"]["bytes"] == 4 * 8 * 3 * 398
    assert set(received["clinic"]) == {"cut_gradient"}


def test_bounded_rows_are_what_a_party_trains_with_and_whole_rows_what_is_attacked(house: House):
    """With rows bounded, z_1 of the first batch is the bounded rows times the first weights."""
    text = plan_toml("breast_cancer", TWO_PARTIES) + "\n[protection]\nrow_norm = 1.0\nweight_norm = 1.0\n"
    recording = house.record("bounded", text)
    files = _files(recording, house)
    views, run = read_views(files, recording.transcripts), recording.run
    wanted = np.zeros((57, 8))
    batch = _first_batch(recording, files)
    for party in files.parties:
        whole, bounded = party.rows, party.bounded
        assert np.linalg.norm(whole, axis=1).max() > 2
        assert np.linalg.norm(bounded, axis=1).max() <= 1
        assert np.array_equal(_of(views, party.name).own_rows, whole[views.rows])
        assert np.allclose(_of(views, party.name).own_part, bounded[views.rows] @ party.weights, atol=1e-6)
        wanted += bounded[views.rows[batch]].astype(np.float64) @ run.theta(party.name, 0)
    assert np.abs(_of(views, SERVER).z1[0][batch] - wanted).max() < 2.0**-14


def test_with_a_defender_every_party_has_the_servers_h1(defended_recording: Recording, defended_house: House):
    """As it was sent, which is act(z_1 + b) with the bias of barrier 0 for the first batch."""
    files = _files(defended_recording, defended_house)
    views = read_views(files, defended_recording.transcripts)
    server, batch = _of(views, SERVER), _first_batch(defended_recording, files)
    for party in defended_recording.parties:
        assert np.array_equal(_of(views, party).h1, server.h1)
    run = defended_recording.run
    activation = run.plan.network.activations[0]
    bias = run.barrier(SERVER, 0)["stack"]["bias_0"]
    assert np.allclose(server.h1[0][batch], activated(activation, server.z1[0][batch] + bias), atol=1e-6)


def test_with_a_defender_the_servers_view_has_the_sum_of_the_parties_gradients(
    defended_recording: Recording, defended_house: House
):
    """Of the first batch: each party's own, from its rows, h1 and the net of barrier 0; rounding is 2^-21 a party. In every
    epoch as large, so that no share is left out or counted twice; at no party."""
    files = _files(defended_recording, defended_house)
    views = read_views(files, defended_recording.transcripts)
    server, batch, run = _of(views, SERVER), _first_batch(defended_recording, files), defended_recording.run
    assert server.defender_gradient.shape == server.z1.shape
    spec = defender_spec(run.plan.message())
    wanted = np.zeros((len(batch), 8), np.float32)
    for party in files.parties:
        state = run.barrier(party.name, 0)["defender"]
        net = Defender(spec, {name: value for name, value in state.items() if name.startswith(("kernel", "bias"))})
        wanted += net.distance_and_gradient(server.h1[0][batch], party.rows[views.rows[batch]])[1]
        assert _of(views, party.name).defender_gradient is None
    assert np.abs(wanted).max() > 1e-3
    assert np.abs(server.defender_gradient[0][batch] - wanted).max() < 1e-5
    assert np.all(np.abs(server.defender_gradient) < 50)  # uniform words are nearly all beyond
    assert np.all(np.any(server.defender_gradient != 0, axis=2))
    few = read_views(files, defended_recording.transcripts, most_epochs=2)
    assert np.array_equal(_of(few, SERVER).defender_gradient, server.defender_gradient[[0, -1]])


def test_a_run_without_a_transcript_is_a_sentence(masked_sum_recording: Recording, house: House, tmp_path):
    with pytest.raises(BadInputError, match=r"no transcript of 'neutral-server'.*--attacks quick"):
        read_views(_files(masked_sum_recording, house), tmp_path)


def test_a_recording_without_a_whole_epoch_is_a_sentence(masked_sum_recording: Recording, house: House, tmp_path):
    for role in (SERVER, *masked_sum_recording.parties):
        (tmp_path / f"{role}.transcript").write_bytes(
            (masked_sum_recording.transcripts / f"{role}.transcript").read_bytes()[:20_000]
        )
    with pytest.raises(BadInputError, match="hold no epoch of run 'recorded-masked_sum' whole"):
        read_views(_files(masked_sum_recording, house), tmp_path)


@pytest.mark.parametrize("after", [0, 1])
def test_a_first_layer_that_stays_shows_the_same_in_every_later_epoch(house: House, after: int):
    """And gradients only of the epochs in which it moved: none where it stayed from the start."""
    text = plan_toml("frozen", TWO_PARTIES) + f"\n[protection]\nfreeze_first_layer_after = {after}\n"
    recording = house.record(f"frozen-after-{after}", text)
    found = read_views(_files(recording, house), recording.transcripts)
    server, clinic = _of(found, SERVER), _of(found, "clinic")
    assert found.epochs == (1, 2, 3)
    assert server.z1 is not None
    assert moving_epochs(server.z1) == [*range(after), 2]
    for view in (server, clinic):
        gradient = view.cut_gradient
        assert (0 if gradient is None else len(gradient)) == after
    assert server.h1 is not None
    theta = {party: recording.run.theta(party) for party in recording.parties}
    rows = {party: rows_of(recording.run, party).encoded[found.rows] for party in recording.parties}
    exact = sum(rows[party] @ theta[party] for party in recording.parties)
    assert np.abs(server.z1[-1] - exact).max() < 1e-3
