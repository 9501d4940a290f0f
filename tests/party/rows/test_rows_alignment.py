import hashlib
import hmac
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.errors import RowsError, TertiumError
from party.rows.alignment import Summary, align, check_alignment, order_hash, reorder
from party.rows.schema import Column
from party.rows.table import Table

KEY = bytes(range(32))
texts = st.lists(st.text("aZ0é€𝄞", min_size=1, max_size=4), min_size=1, max_size=12, unique=True)


def _table(ids: list[str] | None, rows: int) -> Table:
    return Table("t", None if ids is None else tuple(ids), rows, {"x": np.arange(rows)}, {"x": Column(type="integer")})


@settings(max_examples=50)
@given(texts, st.randoms(use_true_random=False))
def test_parties_with_the_same_ids_meet_in_one_order(ids: list[str], random: object) -> None:
    shuffled = list(ids)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    mine, theirs = _table(ids, len(ids)), _table(shuffled, len(ids))
    ordered = reorder(mine, align(mine, "sort")), reorder(theirs, align(theirs, "sort"))
    assert ordered[0].ids == ordered[1].ids
    assert list(ordered[0].ids or ()) == sorted(ids, key=lambda text: text.encode("utf-8"))
    for table, original in zip(ordered, (ids, shuffled), strict=True):  # values move with their ids
        assert [original[row] for row in table.values["x"].tolist()] == list(table.ids or ())


def test_order_is_by_bytes_not_by_number() -> None:
    table = _table(["10", "9", "é", "z"], 4)
    assert align(table, "sort").tolist() == [0, 1, 3, 2]
    assert align(table, "sort").dtype == np.int64


def test_file_order_and_tables_without_ids_stay() -> None:
    table = _table(["b", "a"], 2)
    assert align(table, "file_order").tolist() == [0, 1]
    assert align(_table(None, 3), "sort").tolist() == [0, 1, 2]
    assert reorder(table, align(table, "file_order")) is table


@pytest.mark.parametrize("order", ["sort", "file_order"])
def test_duplicates_are_counted_and_never_shown(order: str) -> None:
    table = _table(["sekret", "b", "sekret", "sekret", "c"], 5)
    with pytest.raises(RowsError, match="2 duplicate ids among 5 rows") as caught:
        align(table, order)  # type: ignore[arg-type]
    assert "sekret" not in str(caught.value)


@pytest.mark.parametrize("order", [[0, 0, 1], [0, 1], [1, 2, 3], [0, 1, -1]])
def test_an_order_is_each_row_once(order: list[int]) -> None:
    with pytest.raises(RowsError, match="each of its 3 rows once"):
        reorder(_table(None, 3), np.array(order, dtype=np.int64))


def test_hash_is_the_hmac_of_the_documented_bytes() -> None:
    message = b"tertium order v1: ids" + struct.pack(">Q", 2)
    message += struct.pack(">Q", 1) + b"a" + struct.pack(">Q", 2) + "é".encode()
    assert order_hash(["a", "é"], 2, KEY) == hmac.new(KEY, message, hashlib.sha256).digest()
    without = hmac.new(KEY, b"tertium order v1: row numbers" + struct.pack(">Q", 2), hashlib.sha256)
    assert order_hash(None, 2, KEY) == without.digest()


def test_hash_tells_order_boundaries_absence_and_key_apart() -> None:
    hashes = [
        order_hash(["ab", "c"], 2, KEY),
        order_hash(["a", "bc"], 2, KEY),
        order_hash(["c", "ab"], 2, KEY),
        order_hash(["abc"], 1, KEY),
        order_hash(None, 2, KEY),
        order_hash(None, 3, KEY),
        order_hash(["ab", "c"], 2, KEY[::-1]),
    ]
    assert len(set(hashes)) == len(hashes)


def test_hash_refuses_a_short_key_and_another_count() -> None:
    with pytest.raises(TertiumError, match="has 15 bytes"):
        order_hash(None, 2, KEY[:15])
    with pytest.raises(RowsError, match="1 ids for 2 rows"):
        order_hash(["a"], 2, KEY)


def test_alignment_passes_only_when_all_agree() -> None:
    mine = Summary(569, order_hash(None, 569, KEY))
    check_alignment(mine, {"bank": Summary(569, mine.order_hash)})
    check_alignment(mine, {})


def test_different_counts_are_listed_per_party() -> None:
    mine = Summary(569, b"a" * 32)
    peers = {"shop": Summary(569, b"a" * 32), "bank": Summary(153, b"b" * 32)}
    with pytest.raises(RowsError, match="different numbers of rows: this party 569, bank 153, shop 569"):
        check_alignment(mine, peers)


def test_equal_counts_and_other_ids_name_the_party_and_the_remedy() -> None:
    mine = Summary(569, b"a" * 32)
    peers = {"shop": Summary(569, b"a" * 32), "bank": Summary(569, b"b" * 32)}
    with pytest.raises(
        RowsError, match=r"Same count, different ids or order: .*bank 569, shop 569; bank differ"
    ) as caught:
        check_alignment(mine, peers)
    assert 'align = "sort"' in str(caught.value)
