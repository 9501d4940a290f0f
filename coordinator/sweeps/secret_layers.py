"""What the first i layers cost on additive shares over Z_2^64, in ring words: a cost model.

The generalisation of the P2N2 paper (Zheng, Chen et al. 2020): parties compute layers 1 ... i under secret sharing and
the neutral server the rest in the clear. i = 1 is the protocol `beaver`, which runs; more is not built, and these
counts are what it would send. i = L > 1 needs no neutral server at all (SecureML; Mohassel and Zhang 2017).

B rows a step, d_0 encoded columns, d_l units of layer l, n parties. Every product of two secrets takes one Beaver
triple whose shares are seeds: all parties open both factors under a mask, and one of them gets one correction matrix.
A product of a secret with a matrix all parties know is local.

| of layer l <= i                              | words opened                  | words corrected |
|----------------------------------------------|-------------------------------|-----------------|
| forward             Z_l = A_{l-1} Theta_l    | B d_{l-1} + d_{l-1} d_l       | B d_l           |
| weight gradient     A_{l-1}^T G_l            | B d_{l-1} + B d_l             | d_{l-1} d_l     |
| input gradient      G_l Theta_l^T   (l >= 2) | B d_l + d_{l-1} d_l           | B d_{l-1}       |
| square              Z_l * Z_l                | 2 B d_l                       | B d_l           |
| cube                Z_l^2 * Z_l              | 2 B d_l                       | B d_l           |
| activation gradient G * p'(Z_l)              | 2 B d_l                       | B d_l           |

* A_0 = X is opened once a run, as `beaver` does it, and counts no word in a step.
* p is a polynomial of degree 3: two element-wise triples forward; p' is linear in Z and Z^2, so one backward.
* The neutral server keeps bias and activation of layer i < L and returns G_i in the clear to all parties, as it does
  today for i = 1: both gradients of layer i are then local products, and for i = 1 X^T G_1 is not even on shares.
  For i = L the activation is secret too, h_L is opened to the label holder alone, and its gradient is shared by
  keystream and costs no word: every product of layer L takes its triple.
* A word is 8 bytes.
* ``masked_once`` counts every value opened once a step, under one mask in all its products: the least we know how to
  send. Without it every product has a triple of its own.
* Fixed point is truncated by each party on its own share (SecureML): no word. This is right for two parties; more need
  a protocol that sends something, which is left out.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from coordinator.forecast import forecast
from kernel.errors import BadInputError
from kernel.plan_message import label_holder
from protos.v1 import plan_pb2

WORD_BYTES = 8
_SERVER, _DEALER = "neutral-server", "coordinator"

ProductKind = Literal["forward", "weight gradient", "input gradient", "square", "cube", "activation gradient"]


@dataclass(frozen=True)
class MaskedValue:
    """A secret that is opened under a mask; two of one name are the same matrix."""

    name: str
    words: int


@dataclass(frozen=True)
class SecretProduct:
    """One product of a training step on shares.

    Attributes:
      shape: (rows, inner, columns) of a matrix product; (rows, columns) of an element-wise one.
      opened: both factors where the product takes a triple; empty where it is local.
      corrected_words: of the triple's one correction.
    """

    layer: int
    kind: ProductKind
    shape: tuple[int, ...]
    opened: tuple[MaskedValue, ...]
    corrected_words: int

    @property
    def local(self) -> bool:
        return not self.opened

    @property
    def corrected_bytes(self) -> int:
        return self.corrected_words * WORD_BYTES

    @property
    def kernel_calls(self) -> int:
        """Matrix products of this shape at one party: with a triple E <V> ahead of the opening and (<U> [+ E]) F after."""
        return 1 if self.local or len(self.shape) == 2 else 2


def secret_products(rows: int, columns: int, widths: Sequence[int], secret_layers: int) -> tuple[SecretProduct, ...]:
    """The products of one step with layers 1 ... ``secret_layers`` on shares, in their order; see the table above.

    Args:
      rows: B; columns: d_0 over all parties; widths: d_1 ... d_L.

    Raises:
      BadInputError: fewer than one secret layer, or more than there are layers.
    """
    if not 1 <= secret_layers <= len(widths):
        raise BadInputError(f"{secret_layers} secret layers of a network with {len(widths)}; name 1 to {len(widths)}")
    sizes = [columns, *widths]
    # layers whose activation and whose gradient no one sees: all of them without a server, else all but the last
    alone = works_alone(widths, secret_layers)
    hidden = range(1, secret_layers + 1 if alone else secret_layers)

    def activation(layer: int) -> MaskedValue:
        return MaskedValue(f"A{layer}", rows * sizes[layer] if layer else 0)  # A_0 = X was opened when the run began

    def gradient(layer: int) -> MaskedValue:
        return MaskedValue(f"G{layer}", rows * sizes[layer])

    def weights(layer: int) -> MaskedValue:
        return MaskedValue(f"Theta{layer}", sizes[layer - 1] * sizes[layer])

    def matrices(layer: int, kind: ProductKind, shape: tuple[int, int, int], *factors: MaskedValue) -> SecretProduct:
        return SecretProduct(layer, kind, shape, factors, shape[0] * shape[2] if factors else 0)

    def elements(layer: int, kind: ProductKind, left: str, right: str) -> SecretProduct:
        words = rows * sizes[layer]
        factors = (MaskedValue(f"{left}{layer}", words), MaskedValue(f"{right}{layer}", words))
        return SecretProduct(layer, kind, (rows, sizes[layer]), factors, words)

    found: list[SecretProduct] = []
    for layer in range(1, secret_layers + 1):
        before, after = sizes[layer - 1], sizes[layer]
        found.append(matrices(layer, "forward", (rows, before, after), activation(layer - 1), weights(layer)))
        if layer in hidden:
            found.append(elements(layer, "square", "Z", "Z"))
            found.append(elements(layer, "cube", "Z^2 of ", "Z"))
    for layer in range(secret_layers, 0, -1):
        before, after = sizes[layer - 1], sizes[layer]
        secret = layer in hidden
        if secret:
            found.append(elements(layer, "activation gradient", "dL/dA", "p' of Z"))
        if secret or layer > 1:  # X and G_1 both in the clear: X^T G_1 is each party's own, in float32
            factors = (activation(layer - 1), gradient(layer)) if secret else ()
            found.append(matrices(layer, "weight gradient", (before, rows, after), *factors))
        if layer > 1:
            factors = (gradient(layer), weights(layer)) if secret else ()
            found.append(matrices(layer, "input gradient", (rows, after, before), *factors))
    return tuple(found)


def works_alone(widths: Sequence[int], secret_layers: int) -> bool:
    """Whether nothing stays with a neutral server; one secret layer is always `beaver`, which has one."""
    return secret_layers == len(widths) > 1


def opened_words(products: Sequence[SecretProduct], *, masked_once: bool) -> int:
    """Words every party sends to every other in a step."""
    values = [value for product in products for value in product.opened]
    return sum(value.words for value in (set(values) if masked_once else values))


def corrected_words(products: Sequence[SecretProduct]) -> int:
    """Words the dealer sends to one party in a step."""
    return sum(product.corrected_words for product in products)


def server_links(plan: plan_pb2.RunPlan, rows: int, encoded_columns: Sequence[int], secret_layers: int) -> Counter[str]:
    """Bytes per link direction of one step of what stays with the neutral server: shares of z_i, dL/dz_i, h_L
    and dL/dh_L, by the sizes of the plan's own messages (`forecast`). Empty where nothing stays.
    """
    if works_alone(plan.network.widths, secret_layers):
        return Counter()
    rest = plan_pb2.RunPlan()
    rest.CopyFrom(plan)
    rest.protocol = plan_pb2.FIRST_LAYER_PROTOCOL_MASKED_SUM  # the same messages to the server, and no others
    rest.ring.ring_bits, rest.ring.fractional_bits = 64, 20
    del rest.network.widths[: secret_layers - 1]
    return Counter(forecast(rest, rows, encoded_columns).epoch_bytes)


def secret_links(
    plan: plan_pb2.RunPlan, rows: int, encoded_columns: Sequence[int], secret_layers: int, *, masked_once: bool
) -> Counter[str]:
    """Bytes per link direction of one step of the secret layers: openings through the relay, so up and down once for
    every pair of parties, and the corrections. Words alone: headers, seals and frames add 100 to 250 bytes a message.
    """
    widths = plan.network.widths
    products = secret_products(rows, sum(encoded_columns), widths, secret_layers)
    names, holder = [party.name for party in plan.parties], label_holder(plan)
    opening = WORD_BYTES * (len(names) - 1) * opened_words(products, masked_once=masked_once)
    found: Counter[str] = Counter()
    for name in names:
        found[f"{name}>{_SERVER}"] += opening
        found[f"{_SERVER}>{name}"] += opening
    found[f"{_DEALER}>{max(names)}"] += sum(product.corrected_bytes for product in products)
    if works_alone(widths, secret_layers):
        for name in set(names) - {holder}:  # shares of h_L
            found[f"{name}>{_SERVER}"] += WORD_BYTES * rows * widths[-1]
            found[f"{_SERVER}>{holder}"] += WORD_BYTES * rows * widths[-1]
    return found
