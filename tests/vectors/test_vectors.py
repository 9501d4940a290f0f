"""The kernel held to kernel_v1.json: values that two versions of Tertium must agree on to run together.

The file was written once by the code. Where it is cheap an independent formula (Python integers, AES one
block at a time, HKDF written out, protobuf read back) says that the file itself is right.
"""

import hashlib
import hmac
import json
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from google.protobuf import json_format

from kernel.batch_order import batch_seed, epoch_order, split_rows
from kernel.fixed_point import FixedPoint
from kernel.masks import ZeroMask
from kernel.plan_message import plan_hash
from kernel.randomness import Keystream, SecretKey, StreamPosition, derive_key
from kernel.triples import SeededShares
from protos.v1 import plan_pb2

VECTORS = json.loads((Path(__file__).parent / "kernel_v1.json").read_text(encoding="utf-8"))


def cases(name):
    return pytest.mark.parametrize("case", VECTORS[name], ids=lambda case: name)


def secret(text):
    return SecretKey(bytes.fromhex(text))


def integers(words):
    return [int(word, 16) for word in words]


def expanded(key, position, bits, count):
    """Words of a keystream: AES-128 of epoch(4) step(4) purpose(1) part(1) counter(6)."""
    size = bits // 8
    blocks = -(-count * size // 16)
    counters = b"".join(struct.pack(">IIBB", *position) + number.to_bytes(6, "big") for number in range(blocks))
    encryptor = Cipher(algorithms.AES128(key[:16]), modes.ECB()).encryptor()  # noqa: S305 - one block at a time
    stream = encryptor.update(counters)
    return [int.from_bytes(stream[start : start + size], "little") for start in range(0, count * size, size)]


def hkdf(parent, context):
    """RFC 5869 with SHA-256, no salt, 32 bytes; each part of the context with its length before it."""
    parts = [str(part).encode() for part in context]
    info = b"tertium.v1" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hmac.digest(hmac.digest(bytes(32), parent, hashlib.sha256), info + b"\x01", hashlib.sha256)


def test_the_file_is_the_first_version():
    assert VECTORS["version"] == 1
    assert all(VECTORS[name] for name in VECTORS if name not in ("version", "note"))


@cases("fixed_point")
def test_fixed_point(case):
    ring = FixedPoint(case["ring_bits"], case["fractional_bits"])
    (word,) = ring.encode(np.array([case["value"]]), "value")
    assert int(word) == int(case["word"], 16)
    # round() of a Fraction is to the nearest, ties to even
    exact = round(Fraction(case["value"]) * 2 ** case["fractional_bits"]) % 2 ** case["ring_bits"]
    assert int(word) == exact


@cases("derive_key")
def test_derive_key(case):
    parent = secret(case["parent"])
    assert derive_key(parent, *case["context"]).hex() == case["key"]
    assert hkdf(parent, case["context"]).hex() == case["key"]


@cases("keystream")
def test_keystream(case):
    key, position, bits = secret(case["key"]), case["position"], case["ring_bits"]
    words = Keystream(key).words((len(case["words"]),), bits, StreamPosition(*position))
    assert words.tolist() == integers(case["words"])
    assert words.tolist() == expanded(key, position, bits, len(words))


@cases("zero_mask")
def test_zero_mask(case):
    position, bits, shape = case["position"], case["ring_bits"], tuple(case["shape"])
    keys = {tuple(pair.split("|")): secret(key) for pair, key in case["pairwise_keys"].items()}
    streams = {pair: expanded(key, position, bits, shape[0] * shape[1]) for pair, key in keys.items()}
    for name, wanted in case["pads"].items():
        peers = {(set(pair) - {name}).pop(): Keystream(key) for pair, key in keys.items() if name in pair}
        pad = ZeroMask(name, peers).pad(shape, bits, StreamPosition(*position))
        assert pad.ravel().tolist() == integers(wanted)
        signs = {pair: (pair[0] == name) - (pair[1] == name) for pair in streams}
        by_hand = [sum(signs[pair] * streams[pair][place] for pair in streams) % 2**bits for place in range(pad.size)]
        assert by_hand == integers(wanted)
    assert not any(sum(column) % 2**bits for column in zip(*map(integers, case["pads"].values()), strict=True))


@cases("triple_shares")
def test_triple_shares(case):
    seed, position = secret(case["seed"]), StreamPosition(*case["position"])
    shares = SeededShares(seed)
    found = {"u": shares.u(2, 2), "v": shares.v(2, 1, position), "c": shares.c(2, 1, position)}
    for kind, words in found.items():
        place = (0, 0, 0, 0) if kind == "u" else case["position"]
        assert words.ravel().tolist() == integers(case[kind])
        assert expanded(hkdf(seed, ["triple", kind.upper()]), place, 64, words.size) == integers(case[kind])


@cases("rows")
def test_split_and_epoch_order(case):
    """numpy's generator decides these: parties with numpy versions that disagree must not train together."""
    split = split_rows(case["rows"], case["test_fraction"], case["seed"])
    assert split.train.tolist() == case["train"]
    assert split.test.tolist() == case["test"]
    assert sorted(case["train"] + case["test"]) == list(range(case["rows"]))
    for epoch in case["epochs"]:
        assert batch_seed(case["seed"], epoch["epoch"]) == epoch["batch_seed"]
        assert epoch_order(split.train, epoch["batch_seed"]).tolist() == epoch["order"]
        assert sorted(epoch["order"]) == case["train"]


@cases("plan_hash")
def test_plan_hash(case):
    plan = json_format.ParseDict(case["plan"], plan_pb2.RunPlan())
    assert plan_hash(plan).hex() == case["hash"]
    assert hashlib.sha256(bytes.fromhex(case["serialised"])).hexdigest() == case["hash"]
    assert plan_pb2.RunPlan.FromString(bytes.fromhex(case["serialised"])) == plan
