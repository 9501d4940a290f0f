"""Layers on shares at a party: what `kernel/secret/step.py` computes, between the peers, the dealer and the neutral server.

[1] once: E = X - U is opened among the parties, as `beaver` does it;
[2] ahead of each step, while the party waits: its shares of all masks and of what the dealer derived, and the products
    that no weight is part of;
[3] each step: the rounds up to z_i, whose share is re-masked with a zero-mask and goes to the neutral server;
[4] the gradient at the cut comes back, in the clear or as this party's share of it, and goes down through the layers;
[5] where first-layer weights are a party's own, its peers send it their shares of its own X_j^T (dL/dz_1), and nobody else's.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.batch_order import RowIndices
from kernel.errors import StepError, WireError
from kernel.fixed_point import FixedPoint
from kernel.masks import ZeroMask
from kernel.plan_message import label_holder
from kernel.randomness import Keystream, SecretKey, StreamPosition
from kernel.ring import RingArray, load_ring_kernels
from kernel.secret.correlations import CorrelatedShares, Recipe, correct
from kernel.secret.recipe import step_recipe
from kernel.secret.spec import SecretSpec
from kernel.secret.step import Openings, Rounds, SecretStep, SecretWeights, StepRows, multiply_ahead
from kernel.wire.transcripts import FIRST_GRADIENT, OUTPUT
from party.dealer_client import DealerClient
from party.first_layer.ahead import Ahead
from party.first_layer.openings import PeerOpenings, StepOpenings
from party.first_layer.protocol import FirstLayerBlock
from party.first_layer.row_noise import RowNoise
from party.membership import Membership
from party.peer_links import PeerLinks
from protos.v1 import common_pb2, split_training_pb2

_SEED_BYTES = 32


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A step before its weights are known [2]."""

    recipe: Recipe
    shares: dict[str, RingArray]
    rows: StepRows
    pad: RingArray
    """Zero-mask, and noise where the plan asks for it: [batch, cut width]."""


class SecretStack:
    """One party's side.

    Args:
      block: its rows, and, where first-layer weights are a party's own, its weights.
      weights: its shares; see `party.secret_stack.start`.
      widths: encoded columns per party in the order of the plan.
      ring: of a value on shares; share_ring: of z_i.
    """

    def __init__(
        self,
        block: FirstLayerBlock,
        weights: SecretWeights,
        membership: Membership,
        spec: SecretSpec,
        widths: Sequence[int],
        *,
        ring: FixedPoint,
        share_ring: FixedPoint,
        links: PeerLinks,
        dealer: DealerClient,
        mask: ZeroMask,
        noise: RowNoise | None = None,
    ) -> None:
        self.weights = weights
        self._block, self._membership, self._spec = block, membership, spec
        self._ring, self._share_ring = ring, share_ring
        self._links, self._dealer, self._mask, self._noise = links, dealer, mask, noise
        self._openings, self._wide_openings = (PeerOpenings(links, membership, one) for one in (ring, share_ring))
        self._parts = membership.columns_by_party(widths)
        self._first = membership.place == 0
        self._steps: Ahead[_Prepared] = Ahead(self._prepare)
        self._recipes: dict[tuple[int, bool], Recipe] = {}
        self._correlated: CorrelatedShares | None = None
        self._gradients: Keystream | None = None
        self._e = self._factors = self._share = np.empty((0, 0), np.dtype("<u8"))
        self._gradient: RingArray | None = None
        self._step: SecretStep | None = None
        self._rounds: StepOpenings | None = None
        self._position = StreamPosition(0, 0, 0)

    @property
    def owns_first_weights(self) -> bool:
        """Whether the block's weights are in the clear here."""
        return self._spec.weights == "own"

    @property
    def end(self) -> str:
        if self._spec.gradient == "open":
            return "cut_gradient"
        return "gradient_share" if self._first else "step_done"

    def begin(self) -> None:
        """Open E [1]."""
        load_ring_kernels(64)
        correlated = self._correlated = CorrelatedShares(self._dealer.enrol())
        rows = self._block.rows_in_memory()
        mask = correlated.rows_mask(len(rows), self._spec.columns)
        share = np.negative(mask)
        share[:, self._parts[self._membership.me]] += self._ring.encode(
            rows.astype(np.float64), "encoded value of this party's columns"
        )
        self._e = self._openings.open_in_chunks(share, "opening-e")
        if self._first:
            mask += self._e
        self._factors = mask

    def joined(self, joined: split_training_pb2.Joined) -> None:
        """The seed of this party's shares of gradients.

        Raises:
          WireError: none came where one is due, or one that is none.
        """
        wanted = _SEED_BYTES if self._spec.gradient == "shared" and not self._first else 0
        if len(joined.gradient_seed) != wanted:
            raise WireError(
                f"the neutral server sent a gradient seed of {len(joined.gradient_seed)} bytes, wanted {wanted}; run one version everywhere"
            )
        if wanted:
            self._gradients = Keystream(SecretKey(joined.gradient_seed))

    def open_pass(self, epoch: int, purpose: int, batches: Sequence[RowIndices]) -> None:
        self._steps.open_pass(epoch, purpose, batches)
        self._dealer.open_pass(epoch, purpose)

    def make_ahead(self) -> None:
        self._steps.make_ahead()

    def open_step(self, batch: NDArray[np.float32], position: StreamPosition) -> None:
        """All rounds of the step up to z_i [3]."""
        prepared = self._steps.take(position)
        header = self._membership.header(position.epoch, position.step, position.purpose)
        correction = self._dealer.correction(header, (prepared.recipe.correction_words,))
        if correction is not None:
            correct(prepared.shares, prepared.recipe, correction)
        if self.owns_first_weights:
            self.weights.weights[0][self._parts[self._membership.me]] = self._ring.encode(
                self._block.weights.astype(np.float64), "first-layer weight of this party"
            )
        step = SecretStep(self._spec, prepared.shares, prepared.rows, self.weights, self._first)
        rounds = StepOpenings(self._openings, header)
        rounds.run(step.forward())
        if position.purpose != common_pb2.PURPOSE_TRAIN:
            rounds.run(step.settle())
        self._share = step.linear_output() + prepared.pad
        self._step, self._rounds, self._position, self._gradient = step, rounds, position, None

    def share(self, piece: slice) -> RingArray:
        return self._share[piece]

    def gather(self, rows: NDArray[np.float32], gradient: NDArray[np.float32]) -> None:
        """dL/dz_i in the clear [4]."""
        del rows  # what they are multiplied by is on shares
        scaled = gradient.astype(np.float64) * 2.0**self._spec.gradient_shift
        self._gradient = self._ring.encode(scaled, "dL/dz at the cut")

    def gather_share(self, words: RingArray | None) -> None:
        """This party's share of 2^s dL/dz_i [4]: words [batch, cut width] at the first party, None at the others, where it is a keystream.

        Raises:
          StepError: it is not the other way round.
        """
        if words is None:
            if self._gradients is None:
                raise StepError("the neutral server sent no share of the gradient to the party that adds it")
            words = self._gradients.words(self._share.shape, 64, self._position)
        self._gradient = words

    def update(self) -> None:
        """The gradient's way down, and every weight's move [4] [5]."""
        (step, rounds), gradient = self._require_step(), self._gradient
        if gradient is None:
            raise StepError("the layers on shares have no gradient to apply; gather the step's first")
        self._step = self._rounds = self._gradient = None
        rounds.run(step.backward(gradient))
        rounds.run(step.settle())
        if step.first_gradient is not None:
            self._block.gather_product(self._reveal_own(step.first_gradient))
            self._block.update()

    def update_from_labels(self, labels: NDArray[np.float32] | None) -> None:
        """Without a neutral server: the gradient at the head from its output and the labels, float32[batch, outputs] at their holder; then `update`."""
        step, rounds = self._require_step()
        words = np.zeros_like(self._share) if labels is None else self._ring.encode(labels.astype(np.float64), "labels")
        found: list[RingArray] = []
        rounds.run(_kept(step.head_gradient(words), found))
        self._gradient = found[0]
        self.update()

    def reveal_output(self) -> NDArray[np.float32]:
        """Without a neutral server: the head's output to the label holder, float32[batch, outputs]; empty at the others."""
        self._step = self._rounds = None
        header = self._membership.header(self._position.epoch, self._position.step, self._position.purpose)
        holder = label_holder(self._membership.plan)
        if self._membership.me != holder:
            self._wide_openings.send_to(holder, self._share, OUTPUT, header)
            return np.empty((0, self._spec.cut_width), np.float32)
        total = self._share.copy()
        self._wide_openings.record_own(total, OUTPUT, header)
        self._wide_openings.add(total, OUTPUT, header)
        return self._share_ring.decode(total).astype(np.float32)

    def state(self) -> dict[str, NDArray[Any]]:
        """Shares for a barrier: ``weights_l``, ``bias_l``, and what momentum kept; without first-layer weights that are this party's own."""
        return {
            **{
                f"weights_{number}": words
                for number, words in enumerate(self.weights.weights, 1)
                if number > 1 or not self.owns_first_weights
            },
            **{f"bias_{number}": words for number, words in self.weights.biases.items()},
            **{f"move.{key}": words for key, words in self.weights.moves.items()},
        }

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `state` gave."""
        for number in range(1, len(self.weights.weights) + 1):
            if f"weights_{number}" in state:
                self.weights.weights[number - 1][...] = state[f"weights_{number}"]
        for number, words in self.weights.biases.items():
            words[...] = state[f"bias_{number}"]
        self.weights.moves = {
            key.removeprefix("move."): words.copy() for key, words in state.items() if key.startswith("move.")
        }

    def close(self) -> None:
        self._dealer.close()

    def _require_step(self) -> tuple[SecretStep, StepOpenings]:
        if self._step is None or self._rounds is None:
            raise StepError("no step of the layers on shares is open")
        return self._step, self._rounds

    def _prepare(self, position: StreamPosition, rows: RowIndices) -> _Prepared:
        """[2]: nothing here depends on the weights."""
        if self._correlated is None:
            raise StepError("a share was asked for before E was opened")
        recipe = self._recipe(len(rows), position.purpose == common_pb2.PURPOSE_TRAIN)
        shares = self._correlated.masks(recipe, position)
        step_rows = StepRows(self._e[rows], self._factors[rows])
        multiply_ahead(shares, step_rows)
        pad = self._mask.pad((len(rows), self._spec.cut_width), 64, position)
        if self._noise is not None:
            pad += self._share_ring.encode(self._noise.draw(position, rows), "noise at the cut of this party")
        return _Prepared(recipe, shares, step_rows, pad)

    def _recipe(self, rows: int, training: bool) -> Recipe:
        key = rows, training
        if key not in self._recipes:
            self._recipes[key] = step_recipe(self._spec, rows, training=training)
        return self._recipes[key]

    def _reveal_own(self, share: RingArray) -> NDArray[np.float32]:
        """X_j^T (dL/dz_1) of this party's own columns, float32[columns, width]; every peer learns its own."""
        header = self._membership.header(self._position.epoch, self._position.step, self._position.purpose)
        for peer in self._links.links:
            self._wide_openings.send_to(peer, share[self._parts[peer]], FIRST_GRADIENT, header)
        total = share[self._parts[self._membership.me]].copy()
        self._wide_openings.record_own(total, FIRST_GRADIENT, header)
        self._wide_openings.add(total, FIRST_GRADIENT, header)
        reals = self._share_ring.decode(total) * 2.0**-self._spec.gradient_shift
        return reals.astype(np.float32)


def _kept(rounds: Generator[Openings, Openings, RingArray], found: list[RingArray]) -> Rounds:
    """The rounds, with what they come to put into ``found``."""
    found.append((yield from rounds))
