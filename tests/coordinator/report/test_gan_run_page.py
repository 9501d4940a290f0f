"""The page of a GAN run: results beside their ceiling, attacks beside chance, and who saw what in each mode."""

import base64
import re
from pathlib import Path
from typing import Any

import pytest
from logged_gan_run import attack, gan_events, write_gan_run
from reading import Reading

from coordinator.report.disclosures import disclosures_of
from coordinator.report.gan.gan_plots import draw_histograms
from coordinator.report.page import write_report
from coordinator.report.run_record import read_run


def read_page(directory: Path) -> Reading:
    return Reading(write_report(directory, disclosures_of(directory)).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Reading:
    return read_page(write_gan_run(tmp_path_factory.mktemp("gan") / "pictures-1"))


def test_every_section_tells_its_part(page: Reading) -> None:
    assert page.open == []
    result = page.words("result")
    assert "synthetic rows of party-a | 600 | 0.8200 | 0.7900 to 0.8500 | 400 | 0.8100 | 0.8500" in result
    assert result.index("synthetic rows of all parties") < result.index(
        "real training rows (the ceiling) | 600 | 0.9600"
    )
    schedule = page.words("schedule")
    assert "every party takes the same number of steps" in schedule
    assert "0, 1 | 3 | 3 | 2 | 3 | 0" in schedule
    assert "2 | 70 | 0" in schedule
    assert "party-b has no row of class 2." in schedule
    assert "party-a → neutral-server | 1.6 MB | 1.6 MB" in page.words("traffic")
    assert "1 group" not in page.words("timeline")
    assert "Models are trained in 2 groups" in page.words("timeline")
    assert "Synthetic rows after epochs 4 to 12 kept." in page.words("timeline")
    assert "Finished in 9 s." in page.words("header")


def test_attacks_stand_beside_chance_and_their_mean_is_weighted_by_members(page: Reading) -> None:
    assert "its own discriminator | party-a | 0.400 | 0.250 | +0.150 | – | 100 | 300" in page.words("privacy")
    assert "0 | party-a | 0.500 | 0.4000 to 0.6000 | 0.250 | 0.750" in page.words("privacy")
    assert "chance 0.250, its own discriminator" in page.words("header")


def test_what_a_local_run_attacks_stands_with_its_controls(tmp_path: Path) -> None:
    pooled = {"max": {"party-a": attack(0.45, 100, 300)}, "overfitted": {"party-a": attack(0.9, 50, 150)}}
    local = {
        "event": "gan_attacks",
        "attacks": {
            "membership": {
                "own": {"party-a": {"0": attack(0.5)}},
                "max": {"party-a": {"0": attack(0.55), "1": attack(0.35)}},
            },
            "membership_pooled": pooled,
            "membership_controls": {"overfitted": {"party-a": {"0": attack(0.9)}}},
        },
        "histograms": {"party-a": {"0": {"train": [1, 3], "holdout": [2, 2], "other": [4, 0]}}},
    }
    directory = write_gan_run(tmp_path / "run", events=[*gan_events(), local])
    words = read_page(directory).words("privacy")
    assert (
        "highest of all parties' discriminators | party-a | 0.450 | 0.250 | +0.200 | 0.3500 to 0.5500 | 100 | 300"
        in words
    )
    assert "positive control: a discriminator trained by heart | party-a | 0.900 | 0.250" in words
    assert "its own discriminator | party-b" not in words
    figure = draw_histograms(read_run(directory))
    assert figure is not None
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == [
        "its training rows",
        "its held-out rows",
        "other parties' rows",
    ]


def test_the_newest_grid_of_each_party_is_large_and_older_ones_small(page: Reading) -> None:
    grids = {
        str(attrs["alt"]): str(attrs["src"])
        for tag, attrs in page.tags
        if tag == "img" and "Synthetic" in str(attrs["alt"])
    }
    assert list(grids) == [
        f"Synthetic rows of {party} after epoch {epoch}"
        for party, epoch in [
            ("party-a", 12),
            ("party-b", 12),
            *((party, epoch) for party in ("party-a", "party-b") for epoch in (4, 8)),
        ]
    ]
    assert len(grids["Synthetic rows of party-a after epoch 12"]) > len(
        grids["Synthetic rows of party-a after epoch 4"]
    )
    assert all(base64.b64decode(source.split(",")[1]).startswith(b"\x89PNG") for source in grids.values())


def test_it_is_said_that_nothing_is_differentially_private_and_what_was_released(page: Reading) -> None:
    assert "No differential privacy." in page.words("samples")
    assert "differential privacy | none" in page.words("header")
    released = page.words("released")
    assert "8 accuracies of classifiers on 400 real held-out rows" in released
    assert "4 membership attacks" in released
    assert "6 previews of synthetic rows, by 2 parties" in released
    assert "20 synthetic rows of party-a, sampled for the operator" in released


@pytest.mark.parametrize(
    ("mode", "saw", "not_said"),
    [
        ("fakes", "neutral server | every fake of every exchanged step", "masked share"),
        ("updates", "neutral server | one masked share of that sum per party", "every fake"),
        ("none", "neutral server | nothing of rows or nets", "shared discriminator's weights"),
    ],
)
def test_who_saw_what_depends_on_the_mode(tmp_path: Path, mode: str, saw: str, not_said: str) -> None:
    rows = [" | ".join(row) for row in disclosures_of(write_gan_run(tmp_path / mode, mode))]
    assert any(row.startswith(saw) for row in rows)
    assert not any(not_said in row for row in rows)
    assert any(row.startswith("coordinator | synthetic rows") for row in rows)


def test_a_log_without_results_is_a_page_that_says_so(tmp_path: Path) -> None:
    wanted = {"joined", "prepared", "schedule"}
    page = read_page(
        write_gan_run(tmp_path / "early", events=[event for event in gan_events() if event["event"] in wanted])
    )
    assert "No classifier was tried." in page.words("result")
    assert "No preview is in this directory." in page.words("samples")
    assert "not measured" in page.words("privacy")


def test_names_of_parties_and_files_are_not_trusted(tmp_path: Path) -> None:
    hostile = '"><script>alert(1)</script>'
    events: list[dict[str, Any]] = [
        {**event, "party": hostile, "file": "../../secret.npz"} if "party" in event else event for event in gan_events()
    ]
    directory = write_gan_run(tmp_path / "a" / "b", events=events)
    (tmp_path / "secret.npz").write_bytes(b"not for the page")
    text = write_report(directory, disclosures_of(directory)).read_text(encoding="utf-8")
    assert not re.search("<script", text)
    assert "No preview is in this directory." in text
