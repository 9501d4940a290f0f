"""coordinator.gan_plan: plans of GANs that are refused as they are read."""

import pytest
from gan_runs import gan_plan_toml

from coordinator.job_plan import parse_job_plan
from kernel.errors import SettingsError


def test_a_party_does_not_hold_out_the_rows_it_trains_on():
    def read(holdout):
        text = gan_plan_toml("held").replace('table = "digits-b"', f'table = "digits-b"\nholdout = "{holdout}"')
        return parse_job_plan(text)

    assert [party.holdout for party in read("test-b").parties] == [None, "test-b"]
    with pytest.raises(
        SettingsError, match=r"party 'party-b' would hold out the rows it trains on.*name another table"
    ):
        read("digits-b")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('name = "x"\n[axes]\nseeds = [1]\n', "is a sweep file; train it with `tertium sweep`"),
        ('name = "x"\nepochs = 3\n[nets]\nlatent = 8\n', 'no `job`, and sections of GANs; write job = "privgan"'),
    ],
)
def test_what_is_no_plan_of_a_network_is_said_to_be_what_it_is(text, sentence):
    with pytest.raises(SettingsError, match=sentence):
        parse_job_plan(text, "x.toml")
