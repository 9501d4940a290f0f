"""Puts a plan's first-layer protocol together: masks from the peers' keys, the dealer where there is one."""

from typing import Any

from kernel.masks import ZeroMask
from kernel.plan_message import ring_of, share_ring
from kernel.randomness import Keystream, derive_key
from kernel.secret.plan import first_width, is_secret, secret_spec
from party.dealer_client import DealerClient
from party.first_layer.beaver import Beaver
from party.first_layer.masked_sum import MaskedSum
from party.first_layer.norm_bounds import NormBounds
from party.first_layer.protocol import FirstLayer, FirstLayerBlock
from party.first_layer.row_noise import RowNoise
from party.membership import Membership
from party.peer_links import PeerLinks
from party.secret_stack.stack import SecretStack
from party.secret_stack.start import initial_shares
from protos.v1 import plan_pb2


def make_first_layer(
    membership: Membership,
    block: FirstLayerBlock,
    widths: list[int],
    noise: RowNoise | None,
    *,
    secret: bytes,
    links: PeerLinks,
    dealing: Any,
    wait_seconds: float,
) -> FirstLayer:
    """The protocol of the plan for this party.

    Args:
      widths: encoded columns per party in the order of the plan; noise: this party's own, where the plan asks for it.
      secret: this party's initialisation key; dealing: stub of the dealer.
    """
    run, generation, ring = membership.run, membership.generation, share_ring(membership.plan)
    streams = {
        name: Keystream(derive_key(link.pairwise, run, generation, "zero-mask")) for name, link in links.links.items()
    }
    mask = ZeroMask(membership.me, streams)
    if membership.plan.protocol != plan_pb2.FIRST_LAYER_PROTOCOL_BEAVER:
        return MaskedSum(block, ring, mask, noise)
    factor_ring = ring_of(membership.plan.ring)
    dealer = DealerClient(
        dealing,
        me=membership.me,
        run=run,
        generation=generation,
        ring=ring,
        wait_seconds=wait_seconds,
    )
    if is_secret(membership.plan):
        spec = secret_spec(membership.plan, sum(widths))
        shares = initial_shares(
            spec,
            factor_ring,
            block.weights,
            sum(widths[: membership.place]),
            secret=secret,
            me=membership.me,
            seed=membership.network.seed,
            parties=len(membership.names),
        )
        return SecretStack(
            block,
            shares,
            membership,
            spec,
            widths,
            ring=factor_ring,
            share_ring=ring,
            links=links,
            dealer=dealer,
            mask=mask,
            noise=noise,
        )
    return Beaver(
        block,
        membership,
        widths,
        ring=factor_ring,
        share_ring=ring,
        links=links,
        dealer=dealer,
        mask=mask,
        noise=noise,
    )


def norm_bounds(membership: Membership, columns: int) -> NormBounds | None:
    """What the plan allows this party's ``columns`` encoded columns and their weights; None where it says nothing.

    Raises:
      SettingsError: the bounds are below what the protocol rounds.
    """
    asked, plan = membership.protection, membership.plan
    if not asked.bounded:
        return None
    factors = ring_of(plan.ring) if plan.protocol == plan_pb2.FIRST_LAYER_PROTOCOL_BEAVER else None
    return NormBounds.of(asked.row_norm, asked.weight_norm, columns, first_width(plan), factors)
