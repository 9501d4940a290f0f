"""kernel.randomness against AES in its simplest mode, HKDF written out, and a published vector."""

import hashlib
import hmac
import struct

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.errors import TertiumError
from kernel.randomness import Keystream, SecretKey, SecureRandomness, StreamPosition, derive_key

KEY = SecretKey(bytes(range(32)))
HERE = StreamPosition(epoch=3, step=70_000, purpose=2, part=5)

positions = st.builds(
    StreamPosition,
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 255),
    st.integers(0, 255),
)


def blocks(key, position, first, count):
    """AES-128 of each counter block, no counter mode involved."""
    prefix = struct.pack(">IIBB", position.epoch, position.step, position.purpose, position.part)
    counters = b"".join(prefix + number.to_bytes(6, "big") for number in range(first, first + count))
    encryptor = Cipher(algorithms.AES128(key[:16]), modes.ECB()).encryptor()  # noqa: S305 - one block at a time
    return encryptor.update(counters) + encryptor.finalize()


def test_the_published_vector_of_the_zero_key():
    """NIST AESAVS, AES-128, key 0, plaintext 0."""
    words = Keystream(SecretKey(bytes(32))).words((2,), 64, StreamPosition(0, 0, 0))
    assert words.tobytes().hex() == "66e94bd4ef8a2c3b884cfa59ca342b2e"


@pytest.mark.parametrize("bits", [32, 64])
def test_words_are_aes_in_counter_mode(bits):
    words = Keystream(KEY).words((5, 8), bits, HERE)
    assert words.shape == (5, 8)
    assert words.tobytes() == blocks(KEY, HERE, 0, 20)[: words.nbytes]


def test_a_long_stream_goes_on_across_its_pieces():
    """The stream is made 1 MiB at a time; the counter must not start again."""
    words = Keystream(KEY).words((3 << 17,), 64, HERE)
    block = 1 << 16  # first block of the second MiB
    assert words.tobytes()[(block - 2) * 16 : (block + 2) * 16] == blocks(KEY, HERE, block - 2, 4)
    assert words.tobytes()[-16:] == blocks(KEY, HERE, words.nbytes // 16 - 1, 1)


def test_both_holders_have_the_same_words():
    mine, theirs = Keystream(KEY), Keystream(SecretKey(bytes(KEY)))
    mine.words((9,), 64, StreamPosition(1, 1, 2))  # what was read before does not matter
    assert np.array_equal(mine.words((4, 3), 32, HERE), theirs.words((4, 3), 32, HERE))


def test_another_key_gives_other_words():
    one, other = Keystream(KEY), Keystream(derive_key(KEY, "other"))
    assert not np.any(one.words((64,), 64, HERE) == other.words((64,), 64, HERE))


@settings(deadline=None)
@given(positions, positions)
def test_two_positions_never_share_a_counter_block(one, other):
    """Ten bytes name the position, six count: 2^48 blocks, 4 PB, before one could run into another."""
    assert len(one.counter_block()) == 16
    assert one.counter_block()[10:] == bytes(6)
    assert (one.counter_block() == other.counter_block()) == (one == other)


@settings(deadline=None, max_examples=40)
@given(positions, positions)
def test_two_positions_share_no_word(one, other):
    stream = Keystream(KEY)
    common = np.intersect1d(stream.words((32,), 64, one), stream.words((32,), 64, other))
    assert len(common) == (32 if one == other else 0)


@pytest.mark.parametrize(
    "position",
    [
        StreamPosition(1 << 32, 0, 0),
        StreamPosition(0, 1 << 32, 0),
        StreamPosition(0, 0, 256),
        StreamPosition(0, -1, 0),
    ],
)
def test_a_position_out_of_range_does_not_wrap(position):
    with pytest.raises(struct.error):
        Keystream(KEY).words((1,), 64, position)


@pytest.mark.parametrize("bits", [32, 64])
def test_words_are_uniform(bits, p_value):
    """Fixed key; a random one would fail with probability 1e-6."""
    stream = Keystream(KEY)
    assert p_value(stream.words((1 << 16,), bits, HERE)) > 1e-6
    by_position = [stream.words((4,), bits, StreamPosition(1, step, 2)) for step in range(1 << 13)]
    assert p_value(np.concatenate(by_position)) > 1e-6


def test_a_strided_array_is_refused_and_an_empty_one_is_not():
    stream = Keystream(KEY)
    with pytest.raises(TertiumError, match="C-contiguous"):
        stream.fill(np.zeros((4, 4), np.uint64)[:, ::2], HERE)
    assert stream.words((0, 3), 64, HERE).shape == (0, 3)


def hkdf_sha256(secret, info):
    """RFC 5869, section 2, without salt, 32 bytes of output."""
    extracted = hmac.digest(bytes(32), secret, hashlib.sha256)
    return hmac.digest(extracted, info + b"\x01", hashlib.sha256)


def test_derived_keys_are_hkdf():
    info = b"tertium.v1" + b"\0\0\0\x03run" + b"\0\0\0\x02" + b"71" + b"\0\0\0\0"
    assert derive_key(KEY, "run", 71, "") == hkdf_sha256(KEY, info)


def test_contexts_cannot_be_mixed_up():
    contexts = [
        (),
        ("",),
        ("", ""),
        ("ab", "c"),
        ("a", "bc"),
        ("abc",),
        ("a", "b", "c"),
        ("a", "\0\0\0\x01b"),
    ]
    keys = {derive_key(KEY, *context) for context in contexts}
    assert len(keys) == len(contexts)
    assert KEY not in keys


@settings(deadline=None)
@given(st.lists(st.text(max_size=4), max_size=4), st.lists(st.text(max_size=4), max_size=4))
def test_equal_keys_mean_equal_contexts(one, other):
    assert (derive_key(KEY, *one) == derive_key(KEY, *other)) == (one == other)


def test_keys_of_the_operating_system_are_fresh():
    keys = {SecureRandomness().key() for _ in range(100)}
    assert len(keys) == 100
    assert {len(key) for key in keys} == {32}


def test_secure_randomness_cannot_be_seeded():
    with pytest.raises(TypeError):
        SecureRandomness(7)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("size", [1, 5, (1 << 16) // 8, (1 << 16) + 3])
def test_words_are_added_and_subtracted_in_place_whatever_the_pieces(bits, size):
    """Sizes around the 64 KiB pieces; the oracle draws all words at once."""
    stream, at = Keystream(SecretKey(bytes(range(32)))), StreamPosition(3, 4, 2)
    start = np.arange(size, dtype=f"<u{bits // 8}")
    words, total = stream.words((size,), bits, at), start.copy()
    stream.add_to(total, at)
    assert np.array_equal(total, start + words)
    stream.subtract_from(total, at)
    stream.subtract_from(total, at)
    assert np.array_equal(total, start - words)


def test_a_part_of_an_array_is_changed_in_place_and_a_strided_one_is_refused():
    stream, at = Keystream(SecretKey(bytes(32))), StreamPosition(1, 1, 1)
    whole = np.zeros((4, 3), np.uint64)
    stream.add_to(whole[1:3], at)
    assert np.array_equal(whole[1:3], stream.words((2, 3), 64, at))
    assert not whole[[0, 3]].any()
    with pytest.raises(TertiumError, match="C-contiguous"):
        stream.add_to(whole[:, :2], at)
