"""Rates and fractions as they are written."""

import re

import pytest

from coordinator.sweeps.axes import parse_fractions, parse_rate, parse_rates, parse_weights, rate_name
from kernel.errors import SettingsError


def test_rates_in_the_order_written():
    assert parse_rates(" 100,10, 0.5 ,None") == (100.0, 10.0, 0.5, None)
    assert parse_rate("none") is None
    assert [rate_name(rate) for rate in (100.0, 0.5, None)] == ["100", "0.5", "none"]


@pytest.mark.parametrize("word", ["0", "-10", "ten", "nan", "inf", "0.01", "20000", "10M", "1e9"])
def test_a_rate_that_is_none(word):
    sentence = re.escape(f"rate {word!r} cannot be measured; wanted 0.1 to 10000 (Mbit/s), or `none`")
    for parse in (parse_rate, parse_rates):
        with pytest.raises(SettingsError, match=f"^{sentence}$"):
            parse(word)
    with pytest.raises(SettingsError, match=sentence):
        parse_rates(f"10,{word}")


@pytest.mark.parametrize("text", ["", " ", ",", " , "])
def test_an_empty_list(text):
    with pytest.raises(SettingsError, match=r"the list of rates is empty; write it as 10,100,none"):
        parse_rates(text)
    with pytest.raises(SettingsError, match=r"the list of fractions is empty; write it as 0\.1,0\.5,1\.0"):
        parse_fractions(text)


@pytest.mark.parametrize("text", ["10,100,10.0", "none,NONE"])
def test_a_rate_twice(text):
    with pytest.raises(SettingsError, match=r"stands twice; each is measured once"):
        parse_rates(text)


def test_fractions():
    assert parse_fractions("1.0,0.25,1e-3") == (1.0, 0.25, 0.001)
    for word in ("0", "-0.1", "1.01", "half", "nan", "50%"):
        with pytest.raises(SettingsError, match=rf"fraction '{word}' is no share of the rows"):
            parse_fractions(f"0.5,{word}")
    with pytest.raises(SettingsError, match=r"fraction 0.50 stands twice"):
        parse_fractions("0.50,0.5")


def test_weights():
    assert parse_weights("0, 1e-5,0.1,100") == (0.0, 1e-5, 0.1, 100.0)
    for word in ("-1e-5", "much", "nan", "inf"):
        with pytest.raises(
            SettingsError, match=rf"^weight '{word}' is no λ of a defender; wanted a number, 0 or more$"
        ):
            parse_weights(f"0,{word}")
    with pytest.raises(SettingsError, match=r"weight 0.1 stands twice"):
        parse_weights("0.1,1e-1")
    with pytest.raises(SettingsError, match=r"the list of weights is empty; write it as 0,1e-3,1e-1"):
        parse_weights("")
