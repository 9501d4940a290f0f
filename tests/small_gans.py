"""Plans' GANs with small nets of both kinds, for rows of 16 columns."""

from dataclasses import replace

from kernel.fixed_point import FixedPoint
from kernel.gan.spec import AdamSpec, EvaluationSpec, GanSpec, NetSpec, SharedSpec

SHARED = SharedSpec("updates", 1.0, 0, 0, NetSpec("dense", (9, 5)), 1, FixedPoint(32, 24, addends=3))
DENSE = GanSpec(
    generator=NetSpec("dense", (10, 6)),
    discriminator=NetSpec("dense", (9, 5)),
    latent=7,
    adam=AdamSpec(2e-4, 0.5),
    real_label=0.95,
    batch_rows=8,
    steps="equal_steps",
    steps_per_epoch=0,
    classes_at_once=3,
    classes=(),
    seed=11,
    shared=SHARED,
    evaluation=EvaluationSpec(10, 1, 5),
    preview_every_epochs=0,
)
CONVOLUTIONAL = replace(
    DENSE,
    generator=NetSpec("convolutional", (4, 3)),
    discriminator=NetSpec("convolutional", (3, 4)),
    shared=replace(SHARED, net=NetSpec("convolutional", (3, 4))),
)
