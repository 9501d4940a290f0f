"""`tertium bench depth`: a training step with 1 ... L layers on shares, beside the same layers plain on the neutral server.

Bytes are counted (secret_layers.py; what stays with the server: forecast.py). Times are measured: what one party
multiplies in the ring in a step, on the shapes of that step, and the same products in float32 by TensorFlow, which the
neutral server computes with. One secret layer is the protocol `beaver` that runs; more are a cost model.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from coordinator.forecast import forecast
from coordinator.local.federation import local_table
from coordinator.local.tables import table_size
from coordinator.plan import NetworkPlan, OptimizerPlan, PartyPlan, Plan
from coordinator.sweeps.bench_log import spread_of
from coordinator.sweeps.secret_layers import SecretProduct, opened_words, secret_links, secret_products, server_links
from kernel.batch_order import split_rows
from kernel.errors import BadInputError, SettingsError
from kernel.ring import load_ring_kernels, multiply_add

Shape = tuple[int, ...]
Call = Callable[[], object]
Milliseconds = Mapping[Shape, list[float]]
"""Of each product shape, one value a repeat."""

_SEED = 17


@dataclass(frozen=True)
class DepthCase:
    """A plan, and what a step of it works on: ``rows`` of a full batch, ``encoded_columns`` per party."""

    plan: Plan
    rows: int
    encoded_columns: tuple[int, ...]


@dataclass(frozen=True)
class ProductTimes:
    """Milliseconds of one product by `SecretProduct.shape`, in float32 and in the ring."""

    plain: Milliseconds
    ring: Milliseconds

    def in_ring(self, products: Sequence[SecretProduct]) -> list[float]:
        """Of all products of a step at one party, a value a repeat."""
        calls = [[product.kernel_calls * one for one in self.ring[product.shape]] for product in products]
        return [sum(values) for values in zip(*calls, strict=True)]

    def in_float(self, products: Sequence[SecretProduct]) -> list[float]:
        return [sum(values) for values in zip(*(self.plain[product.shape] for product in products), strict=True)]


def paper_cases(parties: int) -> tuple[DepthCase, ...]:
    """The P2N2 paper's two shapes, columns as evenly split as they go: fraud 28-[8, 8]-1, batch 5000; distress
    555-[400, 16, 8]-1, its training rows in one batch.

    Raises:
      SettingsError: fewer than two parties.
    """
    return tuple(
        _case(name, parties, columns, widths, rows)
        for name, columns, widths, rows in (("fraud", 28, (8, 8), 5000), ("distress", 555, (400, 16, 8), 2570))
    )


def case_of(plan: Plan) -> DepthCase:
    """A plan whose tables are on this machine.

    Raises:
      RowsError: a table cannot be read here.
      SettingsError: row counts differ.
    """
    sizes = [table_size(party.table, local_table(plan, party.table), party.columns) for party in plan.parties]
    rows = {size[0] for size in sizes}
    if len(rows) != 1:
        raise SettingsError(f"the tables have {sorted(rows)} rows; a step needs them aligned")
    train = len(split_rows(rows.pop(), plan.test_fraction, plan.seed).train)
    return DepthCase(plan, min(plan.batch_rows, train), tuple(size[1] for size in sizes))


def measure_depth(case: DepthCase, repeats: int) -> dict[str, Any]:
    """The figures of one plan, for a `BenchLog` record.

    Returns:
      ``shape``: columns, widths, rows, parties; ``server``: bytes of a step as the plan is, with layers 2 ... L plain on
      the neutral server; ``depths``: for i = 1 ... L bytes on the busiest link direction and on all links (``least``:
      each value masked once), milliseconds with their spread over ``repeats``, and their ratio repeat by repeat; ``products``: every product of the
      deepest step, by its shape.

    Raises:
      BadInputError: no repeat.
    """
    if repeats < 1:
        raise BadInputError(f"{repeats} repeats measure nothing; say one at least")
    message, widths = case.plan.message(), case.plan.network.widths
    columns = sum(case.encoded_columns)
    steps = [secret_products(case.rows, columns, widths, depth) for depth in range(1, len(widths) + 1)]
    times = time_products([product for step in steps for product in step], repeats)
    return {
        "shape": {"columns": columns, "widths": widths, "rows": case.rows, "parties": len(case.encoded_columns)},
        "repeats": repeats,
        "server": {
            "protocol": case.plan.first_layer.protocol,
            "ring_bits": case.plan.first_layer.ring[0],
            "cut_dtype": case.plan.cut_dtype,
            **_totals(forecast(message, case.rows, case.encoded_columns).epoch_bytes),
        },
        "depths": [_depth(case, depth, step, times) for depth, step in enumerate(steps, 1)],
        "products": [
            {
                "layer": product.layer,
                "kind": product.kind,
                "shape": product.shape,
                "local": product.local,
                "ring_ms": spread_of(times.in_ring([product])),
                "plain_ms": spread_of(times.in_float([product])),
            }
            for product in steps[-1]
        ],
    }


def _depth(case: DepthCase, depth: int, products: Sequence[SecretProduct], times: ProductTimes) -> dict[str, Any]:
    message = case.plan.message()
    ring, plain = times.in_ring(products), times.in_float(products)
    server = server_links(message, case.rows, case.encoded_columns, depth)
    secret, least = (
        secret_links(message, case.rows, case.encoded_columns, depth, masked_once=once) for once in (False, True)
    )
    return {
        "secret_layers": depth,
        "kind": "protocol" if depth == 1 else "model",
        "opened_words": opened_words(products, masked_once=False),
        "server_bytes": server.total(),
        "secret_bytes": secret.total(),
        **_totals(server + secret),
        "least": _totals(server + least),
        "ring_ms": spread_of(ring),
        "plain_ms": spread_of(plain),
        "ring_to_plain": spread_of([one / other for one, other in zip(ring, plain, strict=True)]),
    }


def time_products(products: Sequence[SecretProduct], repeats: int) -> ProductTimes:
    """Milliseconds of one product of each shape: in Z_2^64 by `multiply_add` (element-wise: all that a party does with
    a triple, e (v + f) + u f + c in numpy), and in float32 by TensorFlow. Operands lie in memory row by row.

    In a repeat a ring product and its plain twin take turns, so that drift of the machine meets both alike; each has an
    untimed call just before, because the thread pool of the one slows the first call of the other.
    """
    load_ring_kernels(64)
    generator = np.random.default_rng(_SEED)
    shapes = dict.fromkeys(product.shape for product in products)
    calls = {shape: (_ring_call(shape, generator), _plain_call(shape, generator)) for shape in shapes}
    times = ProductTimes(plain={shape: [] for shape in shapes}, ring={shape: [] for shape in shapes})
    for _ in range(repeats):
        for shape, (in_ring, in_float) in calls.items():
            times.ring[shape].append(_milliseconds(in_ring))
            times.plain[shape].append(_milliseconds(in_float))
    return times


def _totals(links: Mapping[str, int]) -> dict[str, Any]:
    busiest = max(links, key=lambda link: links[link])
    return {"busiest_link": busiest, "busiest_bytes": links[busiest], "all_bytes": sum(links.values())}


def _milliseconds(call: Call) -> float:
    call()
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1e3


def _ring_call(shape: Shape, generator: np.random.Generator) -> Call:
    def words(*size: int) -> Any:
        return generator.integers(0, 2**64, size, np.uint64)

    if len(shape) == 3:
        left, right, total = words(shape[0], shape[1]), words(shape[1], shape[2]), words(shape[0], shape[2])
        return lambda: multiply_add(left, right, total)
    e, u, f, v, c = (words(*shape) for _ in range(5))
    return lambda: e * (v + f) + u * f + c


def _plain_call(shape: Shape, generator: np.random.Generator) -> Call:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf  # late: seconds, and only this benchmark of the coordinator computes with it

    def reals(*size: int) -> Any:
        return tf.constant(generator.standard_normal(size, np.float32))

    if len(shape) == 3:
        left, right = reals(shape[0], shape[1]), reals(shape[1], shape[2])
        return lambda: tf.matmul(left, right)
    one, other = reals(*shape), reals(*shape)
    return lambda: tf.multiply(one, other)


def _case(name: str, parties: int, columns: int, widths: tuple[int, ...], rows: int) -> DepthCase:
    if not 2 <= parties <= columns:
        raise SettingsError(f"{parties} parties cannot share the {columns} columns of {name}; say 2 to {columns}")
    held = [list(map(str, part)) for part in np.array_split(np.arange(1, columns + 1), parties)]
    plan = Plan(
        name=name,
        epochs=1,
        batch_rows=rows,
        network=NetworkPlan(widths=widths, activations=("sigmoid",) * len(widths)),
        optimizer=OptimizerPlan(name="sgd", learning_rate=0.01),
        parties=tuple(
            PartyPlan(
                name=f"party-{number:02}",
                table=name,
                columns=(f"x{part[0]}..x{part[-1]}",),
                label="y" if number == 1 else None,
            )
            for number, part in enumerate(held, 1)
        ),
    )
    return DepthCase(plan, rows, tuple(len(part) for part in held))
