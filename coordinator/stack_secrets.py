"""What the neutral server is told in place of the plan's seed and hash, under a key only the coordinator holds.

With the seed itself, or a hash it could try seeds against, the server could compute the split, the order of every
mini-batch and the label head's initial weights.
"""

import hashlib
import hmac
from pathlib import Path

from kernel.durable import write_durably
from kernel.randomness import SecretKey, SecureRandomness


class StackSecrets:
    """Derived values of one coordinator."""

    def __init__(self, key: SecretKey) -> None:
        self._key = key

    @classmethod
    def kept_at(cls, path: Path) -> "StackSecrets":
        """The key at ``path``; drawn and kept there when there is none."""
        if not path.exists():
            write_durably(path, SecureRandomness().key())
            path.chmod(0o600)
        return cls(SecretKey(path.read_bytes()))

    def stack_seed(self, plan_seed: int) -> int:
        """Seed of the hidden stack's initial weights, below 2^63."""
        return int.from_bytes(self._derive(b"stack seed", str(plan_seed).encode())[:8]) >> 1

    def barrier_plan(self, plan_hash: bytes) -> bytes:
        """Under what the server holds barriers: 32 bytes, equal for equal plans and no others."""
        return self._derive(b"barriers", plan_hash)

    def _derive(self, purpose: bytes, value: bytes) -> bytes:
        return hmac.digest(self._key, purpose + b"\0" + value, hashlib.sha256)
