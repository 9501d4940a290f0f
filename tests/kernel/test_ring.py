"""kernel.ring against Python's own integers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel import ring
from kernel.ring import multiply_add, ring_bits_of, ring_dtype, ring_matmul
from kernel.tile_product import tile_product
from kernel.wide_product import wide_product

SERIAL = (7, 5, 3)
PARALLEL = (1000, 1043, 9)  # 9.4 million products: above the kernel's threshold; no multiple of its blocks or of four


def words(shape, bits, seed):
    return np.random.default_rng(seed).integers(0, 1 << bits, shape, ring_dtype(bits))


def exact(left, right, bits):
    """By Python integers: no wrap until the end."""
    product = left.astype(object) @ right.astype(object)
    return (product % (1 << bits)).astype(ring_dtype(bits))


WIDE = (130, 1043, 67)  # 9.1 million products, blocks of 64 rows and inner columns with something left over


@pytest.fixture(params=[False, True], ids=["without AVX-512", "with AVX-512"])
def processor(request, monkeypatch):
    """Kernels are chosen as on either; every one of them computes on both."""
    monkeypatch.setattr(ring, "has", lambda feature: feature == "avx512dq" and request.param)
    return request.param


@pytest.mark.parametrize("bits", [32, 64])
def test_a_small_product_is_exact(bits):
    left, right = words(SERIAL[:2], bits, 1), words(SERIAL[1:], bits, 2)
    product = ring_matmul(left, right)
    assert product.dtype == ring_dtype(bits)
    assert np.array_equal(product, exact(left, right, bits))


@pytest.mark.parametrize("bits", [32, 64])
def test_a_product_on_several_threads_is_exact(bits):
    rows, inner, columns = PARALLEL
    left, right = words((rows, inner), bits, 3), words((inner, columns), bits, 4)
    some = np.random.default_rng(5).choice(rows, 24, replace=False)  # Python integers for all of it take seconds
    assert np.array_equal(ring_matmul(left, right)[some], exact(left[some], right, bits))


@pytest.mark.parametrize("bits", [32, 64])
def test_a_product_of_many_rows_and_columns_is_exact_and_added(bits, processor):
    rows, inner, columns = WIDE
    left, right = words((rows, inner), bits, 12), words((inner, columns), bits, 13)
    start = words((rows, columns), bits, 14)
    total = start.copy()
    multiply_add(left, right, total)
    some = [0, 1, 31, 32, 63, 64, 127, 128, 129]  # a block's edges, and the block that is not full
    assert np.array_equal(total[some] - start[some], exact(left[some], right, bits))
    by_pieces = np.concatenate([ring_matmul(left[at : at + 13], right) for at in range(0, rows, 13)])
    assert np.array_equal(total - start, by_pieces)  # small products: another kernel


def test_the_largest_words_wrap_in_halves_and_tiles_too(processor):
    left, right = (np.full(shape, (1 << 64) - 1, np.uint64) for shape in ((128, 1024), (1024, 128)))
    assert np.array_equal(ring_matmul(left, right), np.full((128, 128), 1024, np.uint64))


@given(st.integers(64, 140), st.integers(1, 9), st.integers(64, 80), st.integers(0, 2**32))
@settings(deadline=None, max_examples=30)
def test_the_wide_kernel_is_exact_at_any_shape(rows, inner, columns, seed):
    left, right = words((rows, inner), 64, seed), words((inner, columns), 64, seed + 1)
    total = np.zeros((rows, columns), np.uint64)
    wide_product()(left, right, total)
    assert np.array_equal(total, exact(left, right, 64))


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 70), st.sampled_from([32, 64]), st.integers(0, 2**32))
@settings(deadline=None, max_examples=30)
def test_the_kernel_of_tiles_is_exact_at_any_shape(rows, inner, columns, bits, seed):
    left, right = words((rows, inner), bits, seed), words((inner, columns), bits, seed + 1)
    total = np.zeros((rows, columns), ring_dtype(bits))
    tile_product()(left, right, total)
    assert np.array_equal(total, exact(left, right, bits))


def test_the_kernel_is_chosen_by_shape_ring_and_processor(processor):
    serial, parallel = ring._row_product(parallel=False), ring._row_product(parallel=True)
    for shape, bits, elsewhere, with_avx512 in (
        ((5000, 28, 8), 64, serial, serial),
        ((5000, 64, 32), 64, parallel, parallel),
        ((2570, 556, 400), 64, wide_product(), tile_product()),
        ((2570, 556, 400), 32, parallel, tile_product()),
        ((28, 5000, 64), 64, parallel, tile_product()),
    ):
        assert ring._chosen(*shape, bits) is (with_avx512 if processor else elsewhere)


def test_both_kernels_agree_on_every_word():
    rows, inner, columns = PARALLEL
    left, right = words((rows, inner), 64, 6), words((inner, columns), 64, 7)
    by_pieces = np.concatenate([ring_matmul(left[start : start + 64], right) for start in range(0, rows, 64)])
    assert np.array_equal(ring_matmul(left, right), by_pieces)


def test_the_kernels_have_machine_code_of_their_own():
    """numba's disk cache knows a function by name: one name for both would give one machine code."""
    serial, parallel = ring._row_product(parallel=False), ring._row_product(parallel=True)
    assert parallel.py_func.__qualname__ != serial.py_func.__qualname__
    assert parallel.targetoptions["parallel"]
    assert not serial.targetoptions["parallel"]


@pytest.mark.parametrize("bits", [32, 64])
def test_the_largest_words_wrap_like_minus_one(bits):
    top = np.full((3, 4), (1 << bits) - 1, ring_dtype(bits))  # -1 in two's complement
    assert np.array_equal(ring_matmul(top, top.T.copy()), np.full((3, 3), 4, ring_dtype(bits)))


def test_inputs_need_not_be_contiguous():
    left, right = words((10, 12), 64, 8), words((8, 12), 64, 9)
    strided, transposed = left[::2, ::3], right[::2].T[::3]
    assert not strided.flags.c_contiguous
    assert not transposed.flags.c_contiguous
    assert np.array_equal(ring_matmul(strided, transposed), exact(strided, transposed, 64))


def test_a_read_only_view_of_a_message_is_accepted():
    left = words((3, 4), 64, 10)
    received = np.frombuffer(left.tobytes(), "<u8").reshape(3, 4)
    assert np.array_equal(ring_matmul(received, words((4, 2), 64, 11)), exact(left, words((4, 2), 64, 11), 64))


def test_no_rows_and_no_inner_columns():
    assert ring_matmul(words((0, 4), 64, 0), words((4, 2), 64, 0)).shape == (0, 2)
    assert not ring_matmul(words((3, 0), 64, 0), words((0, 2), 64, 0)).any()


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (words((3, 4), 64, 0), words((3, 4), 64, 0)),
        (words((3, 4), 64, 0), words((4, 3), 32, 0)),
        (words((4,), 64, 0), words((4, 3), 64, 0)),
        (words((3, 4), 64, 0), words((4,), 64, 0)),
    ],
    ids=["inner sizes differ", "rings differ", "a vector on the left", "a vector on the right"],
)
def test_what_cannot_be_multiplied_is_refused(left, right):
    with pytest.raises(ValueError, match="cannot multiply"):
        ring_matmul(left, right)


@pytest.mark.parametrize("bits", [32, 64])
def test_the_dtype_is_little_endian_and_says_its_bits(bits):
    assert np.array([1], ring_dtype(bits)).tobytes() == b"\x01" + bytes(bits // 8 - 1)
    assert ring_bits_of(np.zeros(1, ring_dtype(bits))) == bits


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("inner", [1, 3, 4, 5, 8, 11])
def test_a_product_is_added_to_what_is_there(bits, inner):
    """Inner sizes on both sides of the four words that the kernel takes at a time."""
    left, right, total = words((6, inner), bits, 1), words((inner, 5), bits, 2), words((6, 5), bits, 3)
    wanted = (total.astype(object) + left.astype(object) @ right.astype(object)) % (1 << bits)
    multiply_add(left, right, total)
    assert np.array_equal(total, wanted.astype(ring_dtype(bits)))


@pytest.mark.parametrize(
    "total",
    [np.zeros((3, 2), np.uint32), np.zeros((2, 3), np.uint64), np.zeros((2, 3), np.uint64).T, np.zeros(6, np.uint64)],
    ids=["another ring", "another shape", "not contiguous", "flat"],
)
def test_what_cannot_be_added_to_is_refused(total):
    with pytest.raises(ValueError, match="cannot add"):
        multiply_add(words((3, 4), 64, 0), words((4, 2), 64, 0), total)
