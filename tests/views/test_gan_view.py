"""docs/threat_model.md, "GAN jobs": who receives what in a privGAN run, in both modes; and what it says the server cannot see.

Statistical tests fail with probability at most 1e-6 (uniformity.FAILURE) when all is well.
"""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from gan_runs import COLUMNS, gan_plan_toml
from local_runs import follow, train
from recordings import COORDINATOR, SERVER, Received, Recording, words_of
from uniformity import FAILURE, uniform_p

from coordinator.job_plan import parse_job_plan
from coordinator.local.federation import LocalFederation
from kernel.gan.spec import gan_spec
from party.rows.loaders import declared_columns, load_table
from party.rows.schema import TableSettings, select_columns

pytestmark = pytest.mark.e2e

PAGE = Path(__file__).parents[2] / "docs" / "threat_model.md"
HEADER = ("role", "receives in a GAN run", "from", "holds", "kind")
PARTY = "party"
ROLES = {"neutral server": SERVER, "coordinator": COORDINATOR, PARTY: PARTY}
GAN_STREAM = "/tertium.v1.GanTraining/Share"

Kinds = dict[str, set[str]]


def _cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in line.strip().strip("|").split("|"))


def _written() -> Kinds:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if _cells(line) == HEADER)
    kinds: Kinds = defaultdict(set)
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        role, receives, *_ = _cells(line)
        assert receives not in kinds[ROLES[role]], f"{role} {receives} stands twice"
        kinds[ROLES[role]].add(receives)
    return dict(kinds)


def _record(directory: Path, name: str, text: str) -> Recording:
    with LocalFederation(directory / "runs" / name, parse_job_plan(text), transcripts=directory / name) as federation:
        run = train(federation, text, name)
        federation.client.fetch(name, directory / "fetched")
        return Recording(run, directory / name)


@pytest.fixture(scope="module")
def fakes(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return _record(tmp_path_factory.mktemp("fakes"), "fakes", gan_plan_toml("fakes"))


@pytest.fixture(scope="module")
def updates(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """With three parties: any two shares of a round lack one."""
    return _record(tmp_path_factory.mktemp("updates"), "updates", gan_plan_toml("updates", mode="updates", parties=3))


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Job gan, and afterwards three rows a class of party-b."""
    directory, text = tmp_path_factory.mktemp("alone"), gan_plan_toml("alone", job="gan", epochs=1)
    with LocalFederation(directory / "runs" / "alone", parse_job_plan(text), transcripts=directory / "t") as federation:
        run = train(federation, text, "alone")
        _, first = federation.client.sample("alone", "party-b", 3, (), 1)
        run.events.extend(follow(federation.client, "alone", first))
        return Recording(run, directory / "t")


def _kinds(*recordings: Recording) -> Kinds:
    kinds: Kinds = defaultdict(set)
    for recording in recordings:
        for role in recording.roles:
            kinds[PARTY if role in recording.parties else role] |= {one.kind for one in recording.received(role)}
    return dict(kinds)


def _real_rows(recording: Recording) -> np.ndarray:
    """Every row of the run's classes at any party, float64[rows, columns], in [-1, 1]."""
    declared = TableSettings(source="builtin:digits")
    names = select_columns(list(declared_columns(declared)), [COLUMNS])
    table = load_table("digits", declared, data_directory=None, columns=[*names, "target"])
    rows = np.stack([table.values[name] for name in names], axis=1) / 8 - 1  # 0 to 16
    return rows[np.isin(table.values["target"], recording.run.plan.classes)]


def test_every_role_received_what_the_table_says(fakes: Recording, updates: Recording, sampled: Recording):
    written, received = _written(), _kinds(fakes, updates, sampled)
    received[COORDINATOR].discard("PartyReport.progress")  # of epochs that last
    written[COORDINATOR].discard("PartyReport.progress")
    assert {role: received[role] - written[role] for role in written} == {role: set() for role in written}
    assert {role: written[role] - received[role] for role in written} == {role: set() for role in written}


def test_each_mode_has_its_own_messages(fakes: Recording, updates: Recording):
    both = [
        {one.kind for one in recording.received(SERVER) if one.method == GAN_STREAM} for recording in (fakes, updates)
    ]
    assert both == [{"GanPartyFrame.join", "GanPartyFrame.fakes"}, {"GanPartyFrame.join", "GanPartyFrame.update"}]
    back = [
        {one.kind for one in recording.received("party-a") if one.method == GAN_STREAM}
        for recording in (fakes, updates)
    ]
    assert back == [
        {"GanServerFrame.joined", "GanServerFrame.step_done", "GanServerFrame.origin_gradient"},
        {"GanServerFrame.joined", "GanServerFrame.shared_weights"},
    ]


def test_alone_nothing_goes_to_the_neutral_server(sampled: Recording):
    assert [one.kind for one in sampled.received(SERVER) if one.method == GAN_STREAM] == []
    assert {one.kind.partition(".")[0] for one in sampled.received(SERVER)} <= {"RelayFrame", "DescribeRequest"}


def _fakes(recording: Recording) -> list[Received]:
    return recording.received(SERVER, "GanPartyFrame.fakes")


def _rows_of_frame(frame: Received) -> np.ndarray:
    return np.frombuffer(frame.payload, "<f4").reshape(-1, frame.message.fakes.shape[-1])


def test_what_the_server_saw_are_fakes_and_no_real_row(fakes: Recording):
    """Every number it got on the stream is a generator's: a tanh of narrow nets after a dozen steps comes near no row. And the
    look would see one: rows of the parties are near themselves."""
    real = _real_rows(fakes)
    seen = np.concatenate([_rows_of_frame(frame) for frame in _fakes(fakes)])
    spec = gan_spec(fakes.run.plan.message())
    steps = 4 * 2 * 2  # an epoch's of two parties and two classes
    assert len(seen) == 2 * steps * spec.batch_rows  # epochs 2 and 3; nothing of epoch 1
    assert np.abs(seen).max() <= 1

    def nearest(rows: np.ndarray) -> float:
        return min(float(np.abs(real - row).max(axis=1).min()) for row in rows)

    assert nearest(seen) > 0.2
    assert nearest(real[::20].astype(np.float32)) < 1e-6


def test_the_server_is_told_no_label_and_no_seed_of_the_plan(fakes: Recording):
    (prepare,) = fakes.received(SERVER, "PrepareSharedRequest")
    (begin,) = fakes.received(SERVER, "BeginSharedRequest")
    assert prepare.message.seed not in (0, fakes.run.plan.seed)
    assert prepare.message.plan_hash != fakes.run.events[0].get("plan_hash")
    fields = {field.name for request in (prepare, begin) for field, _ in request.message.ListFields()}
    assert not fields & {"classes", "label", "table", "tables", "columns_by_name"}
    for name in (b"pixel_", b"target", b"digits"):
        assert name not in prepare.data + begin.data


def test_a_party_is_sent_only_gradients_at_its_own_fakes(fakes: Recording):
    """No two parties get equal gradients, and none gets a frame about the other's step twice."""
    by_party = {
        party: [one.payload for one in fakes.received(party, "GanServerFrame.origin_gradient")]
        for party in fakes.parties
    }
    counts = {party: len(payloads) for party, payloads in by_party.items()}
    assert counts == dict.fromkeys(fakes.parties, 4 * 2)
    first, second = by_party.values()
    assert not set(first) & set(second)
    sent = {frame.payload for frame in _fakes(fakes)}
    assert not sent & {one.payload for party in fakes.parties for one in fakes.received(party)}


def _updates(recording: Recording, party: str) -> np.ndarray:
    """uint32[rounds, words]"""
    frames = [one for one in recording.received(SERVER, "GanPartyFrame.update") if one.message.header.sender == party]
    return np.stack([words_of(frame.message.update, frame.payload).ravel() for frame in frames])


def test_a_single_update_is_uniform_and_so_is_the_sum_of_two_of_three(updates: Recording):
    shares = {party: _updates(updates, party) for party in updates.parties}
    assert {words.shape[0] for words in shares.values()} == {4 * 2 * 2}  # epochs 2 and 3, two classes, four rounds each
    a, b, c = shares.values()
    for words in (a, b, c, a + b, a + c, b + c):
        assert uniform_p(words) >= FAILURE


def test_the_complete_sum_is_a_gradient(updates: Recording):
    """The tests above see what is not masked: the sum of all three decodes to small numbers."""
    total = sum(
        (_updates(updates, party) for party in updates.parties[1:]), start=_updates(updates, updates.parties[0])
    )
    assert uniform_p(total) < 1e-100
    shared = gan_spec(updates.run.plan.message()).shared
    assert shared is not None
    decoded = shared.ring.decode(total)
    assert 0 < float(np.abs(decoded).max()) < 10


def test_no_fake_and_no_row_reaches_the_server_in_updates(updates: Recording):
    for one in updates.received(SERVER):
        if one.method == GAN_STREAM:
            assert not one.message.HasField("fakes")
    assert updates.received(SERVER, "GanPartyFrame.update")


def test_sealed_or_not_no_real_row_is_in_anything_another_role_received(fakes: Recording, updates: Recording):
    """Rows as float32 in [-1, 1] and in [0, 1]: nowhere but at their owner, whatever the message."""
    for recording in (fakes, updates):
        rows = _real_rows(recording)[::7]
        patterns = {values.astype("<f4").tobytes()[:64] for row in rows for values in (row, (row + 1) / 2)}
        patterns = {one for one in patterns if len(set(np.frombuffer(one, "<f4"))) > 4}
        assert len(patterns) > 20
        for role in recording.roles:
            for one in recording.received(role):
                assert not any(pattern in one.data for pattern in patterns), f"{role} {one.kind}"


def test_sampled_rows_come_only_from_who_was_asked(sampled: Recording):
    """`tertium sample`: one party gets the order, after all of the run's own, and answers with as many rows as were asked for."""
    asked = {
        party: [one.message.synthesise for one in sampled.received(party, "PartyOrder.synthesise")]
        for party in sampled.parties
    }
    assert len(asked["party-b"]) == len(asked["party-a"]) + 1
    assert (asked["party-b"][-1].rows_per_class, asked["party-b"][-1].seed) == (3, 1)
    assert sampled.run.events[-1]["event"] == "sampled"
    last = sampled.received(COORDINATOR, "PartyReport.synthesised")[-1]
    assert last.message.synthesised.rows.rows == 3 * 2
