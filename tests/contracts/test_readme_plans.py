"""The README's blocks of a plan can be copied: they validate, and what they say of targets and verdicts is what is computed."""

import re
import tomllib
from pathlib import Path

import pytest

from coordinator.plan import Plan
from coordinator.report.benchmarks.targets import TARGETS
from coordinator.report.privacy.verdict import NOTHING, NOTICEABLE, ORDER, SLIGHT

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = [tomllib.loads(found) for found in re.findall(r"^```toml\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)]


@pytest.mark.parametrize("section", ["defender", "protection"])
def test_a_copied_section_is_taken_by_a_plan(section):
    (block,) = [block for block in BLOCKS if section in block]
    plan = tomllib.loads((ROOT / "deploy/plans/fraud.toml").read_text(encoding="utf-8"))
    plan["network"] |= block.pop("network", {})
    found = Plan.model_validate(plan | block)
    assert getattr(found, section).model_dump(mode="json", exclude_unset=True) == block[section]


def test_every_plan_is_listed():
    for path in (ROOT / "deploy/plans").glob("*.toml"):
        assert f"`{path.name}`" in README


def test_targets_stand_as_they_are_held_to():
    for target in TARGETS:
        assert f"| {target.sentence} |" in README


def test_verdicts_are_explained_with_their_limits():
    for word in ORDER:
        assert re.search(rf"^\|.*\b{word}\b.*\|$", README, re.MULTILINE)
    assert f"| none found | below {NOTHING:.0%}".replace("%", " %") in README
    assert f"| below {SLIGHT:.0%}, below {NOTICEABLE:.0%}, from {NOTICEABLE:.0%} |".replace("%", " %") in README
