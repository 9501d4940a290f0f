"""Variants of a plan: mitigations and their mixes, as a file of names and overrides."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import Field

from coordinator.plan import Plan, parse_plan, read_plan_text
from kernel.errors import SettingsError
from kernel.settings import Settings, parse_settings, parse_toml

PLAIN = "the plan as it is"
_FIXED = {"name": "it groups a plan's variants", "seed": "seeds are counted by --seeds"}


class VariantSection(Settings):
    """One [[variant]] of a file."""

    name: str = Field(min_length=1, max_length=48)
    plans: tuple[str, ...] | None = Field(None, description="names of the plans it is for; absent: every plan")
    overrides: dict[str, Any] = Field(
        default_factory=dict, description="keys of a plan file; a section is merged, everything else replaced"
    )


class VariantsFile(Settings):
    variant: tuple[VariantSection, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Variant:
    """A name and what it changes; the one that changes nothing is what the others are held against."""

    name: str
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_plain(self) -> bool:
        return not self.overrides


def read_variants(file: Path | None) -> VariantsFile:
    """A file's variants; None is the packaged frontier.toml.

    Raises:
      SettingsError: it cannot be read, is no TOML, or has an unknown key.
    """
    named = file or Path(str(files("coordinator.sweeps") / "plans" / "frontier.toml"))
    return parse_settings(VariantsFile, read_plan_text(named), str(named))


def variants_of(listed: VariantsFile, plan: str) -> list[Variant]:
    """The variants for the plan of this name, with the plan as it is among them, first where the file has none such.

    Raises:
      SettingsError: none is for this plan, or two have one name.
    """
    found = [Variant(one.name, one.overrides) for one in listed.variant if one.plans is None or plan in one.plans]
    if not found:
        raise SettingsError(f"no variant is for plan {plan!r}; name it in `plans` of one, or leave `plans` out")
    if not any(variant.is_plain for variant in found):
        found.insert(0, Variant(PLAIN))
    names = [variant.name for variant in found]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise SettingsError(f"two variants of plan {plan!r} are called {repeated[0]!r}; names are unique")
    return found


def varied(plan_text: str, what: str, variant: Variant, seed: int) -> tuple[str, Plan]:
    """A plan's TOML and model with a variant's overrides and this seed.

    Raises:
      SettingsError: an override of name or seed, a key that a plan does not have, or a plan that cannot be.
    """
    for key, reason in _FIXED.items():
        if key in variant.overrides:
            raise SettingsError(f"variant {variant.name!r} overrides {key!r}, which stays: {reason}")
    document = merged(parse_toml(plan_text, what), variant.overrides) | {"seed": seed}
    text = tomli_w.dumps(document)
    return text, parse_plan(text, f"variant {variant.name!r} of {what}")


def merged(document: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the document in which tables are merged key by key and every other value is replaced."""
    found = deepcopy(dict(document))
    for key, value in overrides.items():
        table = found.get(key)
        both = isinstance(table, dict) and isinstance(value, Mapping)
        found[key] = merged(table, value) if both and isinstance(table, dict) else deepcopy(value)
    return found
