"""A GAN run as a coordinator leaves it: two parties, three classes of which one lacks one, images of 8 x 8, twelve epochs."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

START = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
EPOCHS = 12
PARTIES = ("party-a", "party-b")
LINKS = {"party-a>neutral-server": 1_600_000, "neutral-server>party-a": 1_590_000}


def accuracy(value: float, n: int) -> dict[str, float | int]:
    return {"value": value, "low": value - 0.03, "high": value + 0.03, "n": n}


def attack(value: float, members: int = 50, others: int = 150) -> dict[str, float | int]:
    chance = members / (members + others)
    return {
        "accuracy": value,
        "low": value - 0.1,
        "high": value + 0.1,
        "chance": chance,
        "auc": 0.5 + value - chance,
        "members": members,
        "non_members": others,
    }


def gan_events() -> list[dict[str, Any]]:
    clock, events = START, []

    def log(kind: str, /, **fields: Any) -> None:
        nonlocal clock
        events.append({"time": clock.isoformat(), "event": kind, "run": "pictures-1", **fields})
        clock += timedelta(seconds=0.5)

    log("submitted", plan_hash="77" * 32)
    counts = {"party-a": {"0": 80, "1": 90, "2": 70}, "party-b": {"0": 60, "1": 40}}
    for party in PARTIES:
        log("joined", party=party)
        log("prepared", party=party, rows=250, train_rows=200, test_rows=50, columns=64, classes=counts[party])
    log("classes_missing", party="party-b", classes=[2])
    groups = [
        {"classes": [0, 1], "steps": {"party-a": 3, "party-b": 3}},
        {"classes": [2], "steps": {"party-a": 3, "party-b": 0}},
    ]
    log("schedule", policy="equal_steps", groups=groups)
    log("forecast", bytes={"party-a>neutral-server": 1_600_010}, set_up_bytes={}, rounds=6)
    for epoch in range(1, EPOCHS + 1):
        losses = {
            "party-a": {
                "generator": {"0": 2.0 / epoch, "1": 1.0, "2": 0.9},
                "discriminator": {"0": 0.4, "1": 0.5, "2": 0.6},
            },
            "party-b": {"generator": {"0": 3.0 / epoch, "1": 1.0}, "discriminator": {"0": 0.7, "1": 0.8}},
            "neutral-server": {"shared_discriminator": {"0": 0.6, "1": 0.7}},
        }
        log("epoch", epoch=epoch, loss=1.0, seconds=0.2, rows=1200, bytes=LINKS, rounds=6, losses=losses)
        if epoch % 4 == 0:
            for party in PARTIES:
                log(
                    "preview",
                    epoch=epoch,
                    party=party,
                    file=f"samples/epoch-{epoch:04}-{party}.npz",
                    rows=16,
                    classes=[0, 1],
                )
    for source, value in (("party-a", 0.81), ("party-b", 0.7), ("all", 0.85), ("real", 0.95)):
        for party, n in (("party-a", 300), ("party-b", 100)):
            log("classifier", source=source, party=party, rows=600, accuracy=accuracy(value + (n == 100) * 0.04, n))
    for party in PARTIES:
        log("membership", party=party, by="own", classes={"0": attack(0.5), "1": attack(0.3)})
        log(
            "histograms",
            party=party,
            classes={
                "0": {"train": [0, 10, 30], "holdout": [20, 20, 10]},
                "1": {"train": [1, 2, 3], "holdout": [3, 2, 1]},
            },
        )
    log("sampled", party="party-a", file="samples/asked.npz", rows=20)
    log("done", seconds=9.0)
    return events


def gan_metrics(mode: str = "fakes") -> dict[str, Any]:
    return {
        "run": "pictures-1",
        "job": "gan" if mode == "none" else "privgan",
        "plan_hash": "77" * 32,
        "protocol": mode,
        "versions": {"tertium": "0.1.0"},
        "parties": list(PARTIES),
        "network": {
            "kind": "dense",
            "generator": [32],
            "discriminator": [32],
            "batch_rows": 64,
            "epochs": EPOCHS,
            "seed": 3,
        },
        "seconds": {"epoch": [0.2] * EPOCHS, "total": 2.4},
        "bytes": {link: size * EPOCHS for link, size in LINKS.items()},
        "epoch_bytes": LINKS,
        "rounds": 72,
        "scores": {
            f"accuracy.{source}": accuracy(value + 0.01, 400)
            for source, value in (("party-a", 0.81), ("party-b", 0.7), ("all", 0.85), ("real", 0.95))
        },
    }


def write_gan_run(directory: Path, mode: str = "fakes", *, events: list[dict[str, Any]] | None = None) -> Path:
    """Events, metrics, plan and previews below ``directory``."""
    (directory / "samples").mkdir(parents=True)
    lines = gan_events() if events is None else events
    (directory / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in lines), encoding="utf-8")
    (directory / "metrics.json").write_text(json.dumps(gan_metrics(mode)), encoding="utf-8")
    shared = "" if mode == "none" else f'\n[shared]\nmode = "{mode}"\n'
    job = "gan" if mode == "none" else "privgan"
    (directory / "plan.toml").write_text(f'name = "pictures"\njob = "{job}"\n{shared}', encoding="utf-8")
    for epoch in range(4, EPOCHS + 1, 4):
        for party in PARTIES:
            write_preview(directory / "samples" / f"epoch-{epoch:04}-{party}.npz", epoch)
    return directory


def write_preview(path: Path, seed: int = 0, side: int = 8) -> None:
    """Eight rows of each of two classes."""
    values = np.random.default_rng(seed).random((16, side * side), np.float32)
    labels = np.repeat(np.array([0, 1], np.int64), 8)
    np.savez(path, values=values, labels=labels, image=np.array([side, side], np.int64))
