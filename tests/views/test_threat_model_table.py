"""docs/threat_model.md says what each role receives; recordings of both protocols say what it did receive."""

import re
from collections import defaultdict
from pathlib import Path

import pytest
from house import House, LongRun, defended_plan, secret_plan, three_party_plan
from recordings import COORDINATOR, SERVER, Recording

pytestmark = pytest.mark.e2e

PAGE = Path(__file__).parents[2] / "docs" / "threat_model.md"
HEADER = ("role", "receives", "from", "holds", "kind")
FEATURE_HOLDER, LABEL_HOLDER = "party (feature holder)", "party (label holder)"
PROCESSES = {"neutral server": SERVER, "coordinator": COORDINATOR, "dealer (at the coordinator)": COORDINATOR}

Kinds = dict[str, set[str]]


def _cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in line.strip().strip("|").split("|"))


def _table() -> list[dict[str, str]]:
    """Rows of the table with our header; every line of it, down to the first that is no table line."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if _cells(line) == HEADER)
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append(dict(zip(HEADER, _cells(line), strict=True)))
    return rows


def _written() -> Kinds:
    kinds: Kinds = defaultdict(set)
    for row in _table():
        kinds[PROCESSES.get(row["role"], row["role"])].add(row["receives"])
    return dict(kinds)


@pytest.fixture(scope="module")
def defended(defended_house: House) -> Recording:
    """With a defender; what it adds does not depend on the protocol."""
    return defended_house.record("defended-masked_sum", defended_plan("masked_sum"), predict_table="breast_cancer")


@pytest.fixture(scope="module")
def on_shares(house: House) -> list[Recording]:
    """Layers on shares: the feature holder and the label holder are the first of the plan in turn, and both are told their own gradient."""
    return [
        house.record("secret-shared", secret_plan("shared", "shared")),
        house.record("secret-own", secret_plan("shared", "own", layers=0, holder_first=True)),
    ]


def _kind(kind: str) -> str:
    """As in the table, which has one row for all rounds of a step."""
    return re.sub(r"opening-\d+", "opening-k", kind)


@pytest.fixture(scope="module")
def recorded(
    masked_sum_recording: Recording,
    beaver_recording: Recording,
    long_run: LongRun,
    house: House,
    defended: Recording,
    on_shares: list[Recording],
) -> Kinds:
    """Kinds by role over all recordings. With three parties a feature holder stands in every place: the last by name adds
    the corrections, one that is not the first is sent the alignment key; its first layer stays after an epoch. In long epochs
    progress is reported."""
    text = three_party_plan("beaver") + "\n[protection]\nfreeze_first_layer_after = 1\n"
    three = house.record("three-beaver-frozen", text, predict_table="breast_cancer")
    kinds: Kinds = defaultdict(set)
    for recording in (masked_sum_recording, beaver_recording, three, long_run.recording, defended, *on_shares):
        for role in recording.roles:
            holds = LABEL_HOLDER if role == recording.label_holder else FEATURE_HOLDER
            found = {_kind(one.kind) for one in recording.received(role)}
            kinds[holds if role in recording.parties else role] |= found
    return dict(kinds)


def test_each_row_is_written_once():
    rows = [(row["role"], row["receives"]) for row in _table()]
    assert len(rows) > 50
    assert len(rows) == len(set(rows))
    assert all(all(row.values()) for row in _table())


def test_every_role_received_what_the_table_says(recorded: Kinds):
    written = _written()
    assert set(recorded) == set(written)
    assert {role: recorded[role] - written[role] for role in written} == {role: set() for role in written}, (
        "not written"
    )
    assert {role: written[role] - recorded[role] for role in written} == {role: set() for role in written}, (
        "not received"
    )


def test_senders_are_those_of_the_table(
    masked_sum_recording: Recording, beaver_recording: Recording, defended: Recording, on_shares: list[Recording]
):
    """A party dials the coordinator (also for the dealer) and the neutral server (also for its peers), and nobody else."""
    dialled = {"coordinator": COORDINATOR, "dealer": COORDINATOR}
    wanted = {
        (row["role"], row["receives"]): dialled.get(row["from"], SERVER)
        for row in _table()
        if row["role"] in (FEATURE_HOLDER, LABEL_HOLDER)
    }
    for recording in (masked_sum_recording, beaver_recording, defended, *on_shares):
        for party in recording.parties:
            holds = LABEL_HOLDER if party == recording.label_holder else FEATURE_HOLDER
            assert {one.sender for one in recording.received(party)} == {SERVER, COORDINATOR}
            for one in recording.received(party):
                assert one.sender == wanted[holds, _kind(one.kind)]


def test_tensors_arrive_only_where_the_table_says_so(
    masked_sum_recording: Recording, beaver_recording: Recording, defended: Recording, on_shares: list[Recording]
):
    """The kinds of message with numbers inside are those the table calls share, gradient, activation or opened value."""
    numbers = {"uniform share", "gradient", "activation"}
    written = {(PROCESSES.get(row["role"], row["role"]), row["receives"]) for row in _table() if row["kind"] in numbers}
    found = set()
    for recording in (masked_sum_recording, beaver_recording, defended, *on_shares):
        for role in recording.roles:
            holds = LABEL_HOLDER if role == recording.label_holder else FEATURE_HOLDER
            for one in recording.received(role):
                if any(
                    field.message_type is not None and field.message_type.name in ("Tensor", "RingTensor")
                    for field, _ in one.message.ListFields()
                ):
                    found.add((holds if role in recording.parties else role, one.kind))
    assert found == written - {(FEATURE_HOLDER, "Correction")}  # here the label holder is the last by name
