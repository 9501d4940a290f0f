"""A small sweep file and made-up figures of its tasks, for the tests of sweeps and of their pages."""

import base64
import zlib

import numpy as np

from coordinator.sweeps.gan_sweep_file import GanSweep, parse_sweep
from coordinator.sweeps.gan_tasks import GanTask

SMALL = """
name = "wine"
about = "A test."
[data]
table = { source = "builtin:wine" }
columns = ["alcohol..proline"]
label = "target"
classes = [0, 1, 2]
holdout_share = 0.25
rows = 134
seed = 3
[training]
epochs = 4
gan_epochs = 6
steps_per_epoch = 5
batch_rows = 8
paper_batch_rows = 8
[nets]
latent = 2
generator = [3]
discriminator = [5]
[shared]
weight = 1.0
[axes]
fractions = [0.5, 0.1]
grid = [0.5, 0.1]
weights = [1.0, 0.0]
weights_fraction = 0.1
skews = [0.5]
skews_fraction = 0.5
[sizes.tiny.training]
epochs = 1
[sizes.tiny.axes]
grid = []
mirrored = true
"""


def small_sweep(size: str | None = None, extra: str = "") -> GanSweep:
    return parse_sweep(SMALL + extra, "wine.toml", size)


def made_figures(task: GanTask) -> dict:
    """What a run of the task might have given: accuracies that tell setting and source apart."""
    setting = task.setting
    parties = [party.name for party in task.plan.parties]
    base = {"privgan": 0.6, "gan": 0.2, "gan_equal": 0.4}[setting.method] + 0.2 * setting.fractions[0]
    sources = [*parties, *(["all"] if len(parties) > 1 else []), "real"]
    attack = {"accuracy": 0.3, "low": 0.25, "high": 0.35, "chance": 0.2, "auc": 0.6, "members": 20}
    levels = np.arange(3 * 4, dtype=np.uint8).reshape(3, 4) * 20
    sample = {
        "image": [2, 2],
        "labels": [0, 1, 2],
        "values": base64.b64encode(zlib.compress(levels.tobytes())).decode(),
    }
    return {
        "run": f"wine-{task.key[:6]}",
        "accuracy": {
            source: {
                "value": base + 0.01 * place,
                "low": base + 0.01 * place - 0.05,
                "high": base + 0.01 * place + 0.05,
                "n": 45,
                "parties": {},
            }
            for place, source in enumerate(sources)
        },
        "membership": {"own": {party: {**dict.fromkeys("012", attack), "pooled": attack} for party in parties}},
        "losses": {},
        "rows": {},
        "bytes": {"party-a>neutral-server": 1000} if len(parties) > 1 else {},
        "rounds": 20,
        "seconds": 1.5,
        "samples": dict.fromkeys(parties, sample),
    }
