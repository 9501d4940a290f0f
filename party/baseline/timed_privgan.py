"""Times the original privGAN loop on the rows of a plan's parties: what `bench privgan` holds an epoch against."""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kernel.durable import write_durably
from kernel.errors import BadInputError, SettingsError
from kernel.gan.nets import discriminator_shapes, initial_weights
from kernel.gan.schedule import drawn_rows, latent_noise, plan_groups, wrong_origins
from kernel.gan.spec import GanSpec, gan_spec
from kernel.process import load_settings
from party.baseline.original_privgan import OriginalPrivgan
from party.gan.local_gan import initial_gan
from party.gan.rows import GanRows, load_gan_rows
from party.policy import part_of
from party.rows.builtin import default_data_directory
from party.settings import PartySettings
from protos.v1 import plan_pb2

WARM_UP_STEPS = 5
LOOPS = {"keras": False, "keras_xla": True}
"""Name -> Keras's ``jit_compile``: as Keras is by default on a CPU, and with XLA besides."""


def time_privgan(plan_file: Path, party_configs: Sequence[Path], steps: int, out: Path) -> None:
    """Write ``{epoch_steps, step_seconds: {"keras": [...], "keras_xla": [...]}}`` to ``out``.

    Steps are those of one class (the nets of all are alike); ``epoch_steps`` are those of all classes.

    Raises:
      BadInputError: parties take different numbers of steps, which the original does not know.
    """
    plan = plan_pb2.RunPlan.FromString(plan_file.read_bytes())
    spec, names = gan_spec(plan), [party.name for party in plan.parties]
    rows = [_rows(plan, spec, config) for config in party_configs]
    counts = {
        name: {label: len(one) for label, one in found.train.items()} for name, found in zip(names, rows, strict=True)
    }
    groups = plan_groups(spec, names, counts)
    if any(len(set(group.steps)) > 1 for group in groups):
        raise BadInputError(
            "parties take different numbers of steps and the original loop knows one for all; time it with steps.policy = "
            '"equal_steps" and classes that every party has'
        )
    label = groups[0].classes[0]
    seconds = {name: _time(spec, names, rows, label, steps, xla=xla) for name, xla in LOOPS.items()}
    epoch_steps = sum(group.longest * len(group.classes) for group in groups)
    write_durably(out, json.dumps({"epoch_steps": epoch_steps, "step_seconds": seconds}).encode())


def _rows(plan: plan_pb2.RunPlan, spec: GanSpec, config: Path) -> GanRows:
    settings = load_settings(PartySettings, config)
    directory = settings.data_directory or default_data_directory(os.environ)
    part = part_of(plan, settings.name)
    return load_gan_rows(part, settings.tables, directory, spec.classes, plan.test_fraction, spec.seed)


def _time(
    spec: GanSpec, names: Sequence[str], rows: Sequence[GanRows], label: int, steps: int, *, xla: bool
) -> list[float]:
    """Seconds of each step after the warm-up, draws and copies of its rows included."""
    if spec.shared is None:
        raise SettingsError("the plan has no shared discriminator; the original loop is privGAN's")
    columns, image, parties = len(rows[0].columns), rows[0].image, len(rows)
    shared = initial_weights(
        discriminator_shapes(spec.shared.net, columns, image, parties), np.random.default_rng(spec.seed)
    )
    starts = [initial_gan(spec, columns, image, [label], b"", name) for name in names]
    models = OriginalPrivgan(spec, columns, starts, shared, xla=xla)
    seconds = []
    for step in range(WARM_UP_STEPS + steps):
        started = time.perf_counter()
        latent = latent_noise(spec.seed, label, step, spec.batch_rows, spec.latent)
        held = [one.train[label] for one in rows]
        real = [
            one[drawn_rows(spec.seed, label, step, place, len(one), spec.batch_rows)] for place, one in enumerate(held)
        ]
        wrong = [
            wrong_origins(spec.seed, 1, 0, 0, step, place, range(parties), spec.batch_rows) for place in range(parties)
        ]
        models.step(latent, real, wrong)
        seconds.append(time.perf_counter() - started)
    return seconds[WARM_UP_STEPS:]
