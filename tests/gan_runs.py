"""Small GAN plans for tests: classes 0 and 1 of scikit-learn's 8x8 digits, two parties or three, narrow nets."""

from typing import Any

import tomli_w

COLUMNS = "pixel_0_0..pixel_7_7"
PARTS = {"party-a": (0.0, 0.4), "party-b": (0.4, 0.8), "party-c": (0.8, 1.0)}
"""Shares of the shuffled table: nobody has a row of another's."""


def gan_plan_toml(
    name: str,
    *,
    job: str = "privgan",
    mode: str = "fakes",
    parties: int = 2,
    epochs: int = 3,
    penalty_after_epochs: int = 2,
    warm_up_epochs: int = 1,
    weight: float = 1.0,
    steps_per_round: int = 1,
    seed: int = 5,
    **sections: Any,
) -> str:
    """By default epoch 1 is nobody's but the parties', in epoch 2 the shared discriminator learns, in epoch 3 generators pay."""
    names = list(PARTS)[:parties]
    document: dict[str, Any] = {
        "name": name,
        "job": job,
        "seed": seed,
        "epochs": epochs,
        "batch_rows": 16,
        "test_fraction": 0.25,
        "barrier_every_epochs": 1,
        "classes": [0, 1],
        "nets": {"latent": 8, "generator": [16], "discriminator": [16, 8]},
        "steps": {"policy": "equal_steps", "per_epoch": 4},
        "evaluation": {"rows": 60, "epochs": 2, "members": 20, "classifier": "small"},
        "parties": [
            {"name": party, "table": f"digits-{party[-1]}", "columns": [COLUMNS], "label": "target"} for party in names
        ],
        "local": {
            "tables": {
                f"digits-{party[-1]}": {
                    "source": "builtin:digits",
                    "select": {"seed": 1, "first": PARTS[party][0], "last": PARTS[party][1]},
                }
                for party in names
            }
        },
    }
    if job == "privgan":
        document["shared"] = {
            "mode": mode,
            "weight": weight,
            "penalty_after_epochs": penalty_after_epochs,
            "warm_up_epochs": warm_up_epochs,
            "steps_per_round": steps_per_round,
        }
    return tomli_w.dumps(document | sections)
