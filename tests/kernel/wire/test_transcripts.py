"""kernel.wire.transcripts: every message, in order, whole."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from kernel.wire.transcripts import (
    FIRST_GRADIENT,
    OPENED_METHOD,
    OUTPUT,
    TRAINING_METHOD,
    Record,
    TranscriptWriter,
    read_transcript,
)

RECORDS = [
    Record("party-a>neutral-server", "/tertium.v1.SplitTraining/Train", b"\x00\x01\xff"),
    Record(">neutral-server", "/tertium.v1.Relay/Exchange", b""),
    Record("neutral-server>party-a", "/ümlaut", bytes(range(256)) * 300),
]


def write(path, records):
    with closing(TranscriptWriter(path)) as writer:
        for record in records:
            writer(record.link, record.method, record.message)


def test_records_come_back_in_order(tmp_path):
    path = tmp_path / "deep" / "a.transcript"
    write(path, RECORDS)
    assert list(read_transcript(path)) == RECORDS


def test_a_second_writer_appends(tmp_path):
    path = tmp_path / "a.transcript"
    write(path, RECORDS[:1])
    write(path, RECORDS[1:])
    assert list(read_transcript(path)) == RECORDS


def test_a_record_can_be_read_while_the_writer_lives(tmp_path):
    path = tmp_path / "a.transcript"
    with closing(TranscriptWriter(path)) as writer:
        writer("l", "m", b"now")
        assert list(read_transcript(path)) == [Record("l", "m", b"now")]


KEPT = ["nothing", "half a prefix", "half a header", "no message", "half a message"]


def torn_file(directory, kept):
    """Two whole records and what a writer left of the third when it was killed."""
    whole, torn = directory / "whole", directory / "torn"
    write(whole, RECORDS[:2])
    start = whole.stat().st_size
    write(whole, RECORDS[2:])
    size = whole.stat().st_size
    header = size - start - 4 - 8 - len(RECORDS[2].message)
    ends = {
        "nothing": start,
        "half a prefix": start + 2,
        "half a header": start + 4 + header // 2,
        "no message": start + 4 + header,
        "half a message": size - 1,
    }
    torn.write_bytes(whole.read_bytes()[: ends[kept]])
    return torn


@pytest.mark.parametrize("kept", KEPT)
def test_a_torn_last_record_is_left_out(tmp_path, kept):
    assert list(read_transcript(torn_file(tmp_path, kept))) == RECORDS[:2]


@pytest.mark.parametrize("kept", KEPT)
def test_a_second_writer_appends_behind_the_last_whole_record(tmp_path, kept):
    torn = torn_file(tmp_path, kept)
    write(torn, RECORDS)
    assert list(read_transcript(torn)) == RECORDS[:2] + RECORDS


def test_it_is_its_owners_alone(tmp_path):
    path, older = tmp_path / "deep" / "a.transcript", tmp_path / "older.transcript"
    write(path, RECORDS)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    older.touch(0o644)
    write(older, RECORDS)
    assert older.stat().st_mode & 0o777 == 0o600


def test_an_empty_file_has_no_records(tmp_path):
    (tmp_path / "empty").touch()
    assert list(read_transcript(tmp_path / "empty")) == []


def test_threads_do_not_tear_each_others_records(tmp_path):
    path = tmp_path / "a.transcript"
    with closing(TranscriptWriter(path)) as writer, ThreadPoolExecutor(8) as pool:
        for number in range(400):
            pool.submit(writer, f"link-{number % 8}", "m", bytes([number % 251]) * number)
    found = sorted(read_transcript(path), key=lambda record: len(record.message))
    assert [record.message for record in found] == [bytes([number % 251]) * number for number in range(400)]


def test_a_training_transcript_holds_what_its_role_receives_in_training_and_no_masked_words(tmp_path):
    path = tmp_path / "a.transcript"
    train = Record("neutral-server>party-a", TRAINING_METHOD, b"gradient")
    revealed = [Record("party-b>party-a", OPENED_METHOD + topic, b"share") for topic in (FIRST_GRADIENT, OUTPUT)]
    masked = Record("party-b>party-a", OPENED_METHOD + "opening-1", b"uniform")
    sent = Record("party-a>neutral-server", TRAINING_METHOD, b"own share")
    with closing(TranscriptWriter(path, "party-a")) as writer:
        for record in (train, *revealed, masked, sent, *RECORDS[1:]):
            writer(record.link, record.method, record.message)
    assert list(read_transcript(path)) == [train, *revealed]


def test_a_training_transcript_has_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr("kernel.wire.transcripts.TRAINING_BYTES", 200)
    path = tmp_path / "a.transcript"
    with closing(TranscriptWriter(path, "a")) as writer:
        for _ in range(9):
            writer(">a", TRAINING_METHOD, bytes(50))
    assert path.stat().st_size < 400
    assert 0 < len(list(read_transcript(path))) < 4
