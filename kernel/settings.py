"""Strict settings: TOML text to a frozen pydantic model, unknown keys refused with a suggestion."""

import difflib
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from kernel.errors import SettingsError

Model = TypeVar("Model", bound=BaseModel)


class Settings(BaseModel):
    """Base of every settings model: frozen, no unknown key."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def parse_toml(text: str, what: str) -> dict[str, Any]:
    """The document, or a SettingsError with line and column."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{what} is not valid TOML: {error}") from error


def parse_settings(model: type[Model], text: str, what: str, *, base: Path | None = None) -> Model:
    """``text`` as ``model``; ``what`` names the file, ``base`` is where its relative paths start.

    Raises:
      SettingsError: one sentence for the first problem: where it is, what was wanted, a suggestion for an unknown key.
    """
    document = parse_toml(text, what)
    try:
        return model.model_validate(document, context={"base": base})
    except ValidationError as error:
        raise SettingsError(f"{what}: {_sentence(model, document, error)}") from error


def _sentence(model: type[BaseModel], document: Any, error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False)
    first = next((one for one in problems if one["type"] == "extra_forbidden"), problems[0])
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _known_keys(model, first["loc"][:-1])
        close = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(sorted(known))}"
        return f"unknown key {where!r}; {hint}"
    if first["type"] == "missing":
        return f"{where!r} is missing"
    sentence = first["msg"].removeprefix("Value error, ")
    if where:  # nowhere: several keys that do not go together, which the sentence names
        sentence = f"{where!r}: {sentence}"
    others = len(problems) - 1
    return f"{sentence} ({others} more problem{'s' if others > 1 else ''} in this file)" if others else sentence


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    schema = model.model_json_schema(by_alias=True)
    node: dict[str, Any] = schema
    for part in location:
        node = _resolve(schema, node)
        if isinstance(part, int):
            node = node.get("items", {})
        else:
            node = node.get("properties", {}).get(part) or node.get("additionalProperties") or {}
    return list(_resolve(schema, node).get("properties", {}))


def _resolve(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    for option in node.get("anyOf", ()):
        if "$ref" in option:
            node = option
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    return node
