"""kernel.settings: one sentence per mistake, with the key's place and a suggestion."""

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field, ValidationError, field_validator, model_validator

from kernel.errors import SettingsError
from kernel.process import TlsSettings, load_settings
from kernel.settings import Settings, parse_settings, parse_toml


class Optimizer(Settings):
    name: Literal["sgd", "adam"] = "sgd"
    learning_rate: float = Field(0.1, gt=0)

    @field_validator("learning_rate")
    @classmethod
    def _not_too_large(cls, value):
        if value > 10:
            raise ValueError("learning_rate is above 10; the run would diverge")
        return value


class Network(Settings):
    widths: list[int]
    optimizer: Optimizer = Optimizer()


class Party(Settings):
    name: str
    columns: list[str] = Field(default_factory=list)


class Plan(Settings):
    epochs: int = Field(ge=1)
    network: Network
    parties: list[Party] = Field(default_factory=list)
    tables: dict[str, Party] = Field(default_factory=dict)
    extra: Network | None = None


GOOD = """
epochs = 3
[network]
widths = [8, 8]
[network.optimizer]
name = "adam"
[[parties]]
name = "a"
columns = ["V1..V14"]
[tables.train]
name = "t"
"""


def refused(text, model=Plan):
    with pytest.raises(SettingsError) as caught:
        parse_settings(model, text, "plan.toml")
    sentence = str(caught.value)
    assert sentence.startswith("plan.toml")
    assert "\n" not in sentence
    assert "pydantic" not in sentence
    return sentence


def test_a_good_file_becomes_a_frozen_model():
    plan = parse_settings(Plan, GOOD, "plan.toml")
    assert plan.network.optimizer == Optimizer(name="adam", learning_rate=0.1)
    assert plan.parties[0].columns == ["V1..V14"]
    with pytest.raises(ValidationError):
        plan.epochs = 4


@pytest.mark.parametrize(
    ("old", "new", "where", "suggestion"),
    [
        ("epochs = 3", "epochs = 3\nepoch = 3", "epoch", "epochs"),
        ("widths =", "width = [1]\nwidths =", "network.width", "widths"),
        ('name = "adam"', "learning_rat = 0.1", "network.optimizer.learning_rat", "learning_rate"),
        ('columns = ["V1..V14"]', "colums = []", "parties.0.colums", "columns"),
        ('name = "t"', 'name = "t"\ncolumn = []', "tables.train.column", "columns"),
        (
            "[tables.train]",
            "[extra]\nwidths = []\noptimiser = 1\n[tables.train]",
            "extra.optimiser",
            "optimizer",
        ),
    ],
)
def test_an_unknown_key_is_refused_with_a_suggestion(old, new, where, suggestion):
    sentence = refused(GOOD.replace(old, new, 1))
    assert f"unknown key {where!r}; did you mean {suggestion!r}?" in sentence


def test_an_unknown_key_like_no_other_lists_the_known_ones_of_its_level():
    sentence = refused(GOOD.replace('name = "adam"', "zzz = 1"))
    assert "unknown key 'network.optimizer.zzz'; known keys: learning_rate, name" in sentence


def test_a_misspelt_key_is_named_before_the_missing_one():
    """The missing key is the misspelt one: the suggestion helps, "missing" would not."""
    assert "did you mean 'widths'?" in refused(GOOD.replace("widths", "widhts"))


@pytest.mark.parametrize(
    ("old", "where"),
    [("epochs = 3", "epochs"), ("widths = [8, 8]", "network.widths"), ('name = "a"', "parties.0.name")],
)
def test_a_missing_key_is_named(old, where):
    assert f"{where!r} is missing" in refused(GOOD.replace(old, "", 1))


def test_a_wrong_value_says_what_was_wanted():
    assert "'epochs': Input should be greater than or equal to 1" in refused(GOOD.replace("epochs = 3", "epochs = 0"))
    assert "'sgd' or 'adam'" in refused(GOOD.replace('"adam"', '"rmsprop"'))
    diverging = refused(GOOD.replace('name = "adam"', "learning_rate = 11"))
    assert "'network.optimizer.learning_rate': learning_rate is above 10" in diverging


def test_several_mistakes_are_counted():
    text = GOOD.replace("epochs = 3", "epochs = 0").replace('"adam"', '"rmsprop"')
    assert refused(text).endswith("(1 more problem in this file)")
    three = text.replace('name = "a"', "name = 1")
    assert refused(three).endswith("(2 more problems in this file)")


class Pair(Settings):
    low: int = 0
    high: int = 0

    @model_validator(mode="after")
    def _ordered(self):
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


class Pairs(Settings):
    first: Pair


def test_keys_that_do_not_go_together_stand_behind_the_files_name_or_their_sections():
    assert refused("low = 1", Pair) == "plan.toml: low is above high"
    assert refused("[first]\nlow = 1", Pairs) == "plan.toml: 'first': low is above high"


@pytest.mark.parametrize("text", ["epochs = ", "[network", 'name = "a', "a = 1\na = 2"])
def test_bad_toml_is_refused_with_its_line(text):
    assert "is not valid TOML" in refused(text)
    assert "line 3" in refused("a = 1\nb = 2\nc = = 3")
    with pytest.raises(SettingsError, match="config is not valid TOML"):
        parse_toml(text, "config")


def test_relative_paths_start_beside_the_file(tmp_path):
    file = tmp_path / "party.toml"
    file.write_text('certificate = "a.pem"\nkey = "/keys/a.key"\nauthority = "ca/authority.pem"\n')
    tls = load_settings(TlsSettings, file)
    assert (tls.certificate, tls.key) == (tmp_path / "a.pem", Path("/keys/a.key"))
    assert tls.authority == tmp_path / "ca" / "authority.pem"


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"cannot read .*absent\.toml: No such file"):
        load_settings(TlsSettings, tmp_path / "absent.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="not UTF-8 text"):
        load_settings(TlsSettings, tmp_path / "binary.toml")
