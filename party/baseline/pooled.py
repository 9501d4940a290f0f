"""Pools what a split run keeps apart, to know what the plain network would have reached.

Reads every party's config, rows and barrier 0, and the neutral server's barrier 0: the plain network starts from the
very weights the split network started from and sees the same batches.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.batch_order import batch_seed, epoch_order, split_rows
from kernel.durable import BarrierStore, write_durably
from kernel.errors import SettingsError
from kernel.plan_message import label_holder, network_spec, plan_hash, safe_run_name
from kernel.process import load_settings
from kernel.secret.plan import is_secret, secret_spec, without_server
from party.baseline.network_parts import NetworkParts
from party.baseline.plain_network import train_plain
from party.baseline.shared_weights import reconstruct_weights
from party.policy import part_of
from party.release import evaluate_outputs
from party.rows.builtin import default_data_directory
from party.rows.encoding import RowEncoder
from party.rows.labels import LabelEncoder
from party.run_rows import load_aligned
from party.settings import PartySettings
from protos.v1 import plan_pb2


def train_pooled(
    plan_file: Path, run: str, party_configs: Sequence[Path], server_state: Path, server_plan: bytes, out: Path
) -> None:
    """Train and write {losses, scores, roc, keras_fit_seconds, tf_function_seconds} to ``out``.

    Without a neutral server in the plan neither ``server_state`` nor ``server_plan`` is read.
    """
    plan = plan_pb2.RunPlan.FromString(plan_file.read_bytes())
    spec = network_spec(plan.network)
    stack: Mapping[str, NDArray[Any]] = {}
    if not without_server(plan):
        stack = BarrierStore(server_state / safe_run_name(run) / "barriers", server_plan).load(0)["stack"]
    head: Mapping[str, NDArray[Any]] = {}
    blocks, barriers, labels, label_encoder = [], [], None, None
    for config in party_configs:
        settings = load_settings(PartySettings, config)
        part = part_of(plan, settings.name)
        data_directory = settings.data_directory or default_data_directory(os.environ)
        rows = load_aligned(part.table, settings.tables[part.table], list(part.columns), part.label, data_directory)
        parts = BarrierStore(settings.state_directory / safe_run_name(run) / "barriers", plan_hash(plan)).load(0)
        blocks.append(rows.encode(RowEncoder.from_state(parts["row_encoder"])))
        barriers.append(parts)
        split = split_rows(rows.rows, plan.test_fraction, plan.network.seed)
        if settings.name == label_holder(plan):
            label_encoder = LabelEncoder.from_state(parts["label_encoder"])
            labels = rows.encode_labels(label_encoder)
            head = parts.get("label_head", {})
    if labels is None or label_encoder is None:
        raise SettingsError("no --party-config belongs to the label holder; name one for each party of the plan")
    pooled = np.concatenate(blocks, axis=1)
    secret = secret_spec(plan, pooled.shape[1]) if is_secret(plan) else None
    shared = reconstruct_weights([parts["secret_stack"] for parts in barriers], secret) if secret is not None else {}
    first_layer = shared.pop("weights_1", None)
    if first_layer is None:
        first_layer = np.concatenate([parts["first_layer"]["weights"] for parts in barriers])
    result = train_plain(
        spec,
        NetworkParts(first_layer, stack, head.get("kernel"), head.get("bias"), shared),
        pooled,
        labels,
        lambda epoch: epoch_order(split.train, batch_seed(plan.network.seed, epoch + 1)),  # a run counts epochs from 1
        plan.batch_rows,
        plan.epochs,
        split.test,
        secret=secret,
    )
    found = evaluate_outputs(spec.loss, labels[split.test], result.test_outputs, label_encoder.decode)
    document: dict[str, object] = {
        "losses": result.epoch_losses,
        "scores": {
            one.name: {"value": one.value, "low": one.low, "high": one.high, "n": one.rows} for one in found.scores
        },
        "keras_fit_seconds": result.keras_fit_seconds,
        "tf_function_seconds": result.tf_function_seconds,
    }
    if found.false_positive_rate:
        document["roc"] = {
            "false_positive_rate": list(found.false_positive_rate),
            "true_positive_rate": list(found.true_positive_rate),
        }
    write_durably(out, json.dumps(document).encode())
