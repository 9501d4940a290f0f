"""Plans and configs that cannot be: refused before anybody is disturbed, in one sentence that says what to write."""

from contextlib import closing

import pytest
import tomli_w
from hand_made_federation import (
    coordinator_config,
    make_certificates,
    party_config,
    plan_document,
    server_config,
    write_toml,
)

from coordinator.plan import parse_plan
from kernel.errors import BadInputError, SettingsError
from kernel.settings import parse_settings
from party.settings import PartySettings

PARTIES = (("ann", "people"), ("bob", "people"))


def plan_with(**changes):
    return tomli_w.dumps(plan_document(*PARTIES, **changes))


def with_parties(*parties):
    return plan_with(parties=[{"table": "people", "columns": ["age"], **party} for party in parties])


WRONG_PLANS = {
    "unknown key at the top": (plan_with(epocs=3), "unknown key 'epocs'; did you mean 'epochs'?"),
    "unknown key in a section": (
        plan_with(network={"activation": ["relu"]}),
        "unknown key 'network.activation'; did you mean 'activations'?",
    ),
    "unknown key in a list": (
        with_parties({"name": "ann", "colum": ["age"]}, {"name": "bob"}),
        "unknown key 'parties.0.colum'; did you mean 'columns'?",
    ),
    "a key like none": (plan_with(optimizer={"zzz": 1}), "known keys: learning_rate, momentum, name"),
    "no label": (with_parties({"name": "ann"}, {"name": "bob"}), "no party has a label; set `label` at the one"),
    "two labels": (
        with_parties({"name": "ann", "label": "outcome"}, {"name": "bob", "label": "outcome"}),
        "2 parties have a label (ann, bob); exactly one may",
    ),
    "one party": (with_parties({"name": "ann", "label": "outcome"}), "a plan needs two parties or more"),
    "a party twice": (with_parties({"name": "ann", "label": "outcome"}, {"name": "ann"}), "party 'ann' stands twice"),
    "dealer is the neutral server": (
        plan_with(first_layer={"protocol": "beaver", "dealer": "neutral-server"}),
        "the dealer is the neutral server, which could solve for X; the dealer is the coordinator",
    ),
    "dealer is a party": (
        plan_with(first_layer={"protocol": "beaver", "dealer": "bob"}),
        "the dealer is party 'bob', which would know every triple; the dealer is the coordinator",
    ),
    "dealer is nobody": (plan_with(first_layer={"protocol": "beaver", "dealer": "eve"}), "unknown dealer 'eve'"),
    "dealer without triples": (plan_with(first_layer={"dealer": "coordinator"}), "masked_sum needs no dealer"),
    "beaver in a small ring": (
        plan_with(first_layer={"protocol": "beaver", "ring_bits": 32, "fractional_bits": 12}),
        "leaves 7 integer bits for z1 in a ring of 32 bits, 2 x 12 (two factors) of them fractional",
    ),
    "fractional bits fill the ring": (
        plan_with(first_layer={"fractional_bits": 28}),
        "fractional_bits = 28 leaves 3 integer bits for z1 in a ring of 32 bits, 28 of them fractional; at least 8 are wanted: lower fractional_bits",
    ),
    "twice the fractional bits fill the ring": (
        plan_with(first_layer={"protocol": "beaver", "fractional_bits": 30}),
        "leaves 3 integer bits for z1 in a ring of 64",
    ),
    "a ring of 48 bits": (plan_with(first_layer={"ring_bits": 48}), "'first_layer.ring_bits'"),
    "missing key": (tomli_w.dumps({"name": "trial"}), "is missing"),
    "not TOML": ("name = trial", "is not valid TOML"),
    "activations and widths": (
        plan_with(network={"activations": ["relu"]}),
        "2 widths need as many activations, there are 1",
    ),
    "classes of a multiclass loss": (plan_with(network={"loss": "multiclass"}), "outputs = number of classes"),
    "a step larger than a message": (plan_with(batch_rows=10_000_000), "the limit is 64 MiB; lower batch_rows"),
    "no learning": (plan_with(optimizer={"learning_rate": 0.0}), "'optimizer.learning_rate'"),
    "a name that is a path": (plan_with(name="../trial"), "'name'"),
}


@pytest.mark.parametrize(("text", "sentence"), WRONG_PLANS.values(), ids=WRONG_PLANS)
def test_a_wrong_plan_is_refused_by_what_is_wrong(text, sentence):
    with pytest.raises(SettingsError) as caught:
        parse_plan(text, "plan.toml")
    assert str(caught.value).startswith("plan.toml")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_plan_these_are_made_from_is_right():
    plan = parse_plan(plan_with())
    assert [party.name for party in plan.parties] == ["ann", "bob"]
    assert plan.ring == (32, 16)


@pytest.mark.e2e
@pytest.mark.parametrize("arguments", [("plan",), ("run", "--local")], ids=" ".join)
def test_the_command_says_so_and_leaves_nothing(arguments, command, tmp_path):
    plan = tmp_path / "trial.toml"
    plan.write_text(WRONG_PLANS["unknown key at the top"][0])
    command(arguments[0], plan, *arguments[1:]).refused(2, "trial.toml: unknown key 'epocs'; did you mean 'epochs'?")
    assert [path.name for path in tmp_path.iterdir()] == ["trial.toml"]


@pytest.mark.e2e
def test_the_coordinator_holds_a_plan_to_the_same(federation):
    """The operator's own check can be passed by; the coordinator's cannot, and it opens no run."""
    before = federation.runs()
    with closing(federation.client()) as client, pytest.raises(BadInputError, match="no party has a label"):
        client.submit(WRONG_PLANS["no label"][0])
    assert federation.runs() == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("plan", "nowhere.toml"), "cannot read nowhere.toml: No such file or directory"),
        (("run", "nowhere.toml", "--local"), "cannot read nowhere.toml: No such file or directory"),
        (("run", "nowhere.toml"), "say either --coordinator HOST:PORT"),
        (("run", "--local"), "name a plan file, or a run to --resume"),
        (("run", "x.toml", "--local", "--protocl", "beaver"), "No such option: --protocl"),
        (("predict", "only-a-run"), "Missing argument 'data'; see `tertium predict --help`"),
        (("demo", "titanic"), "there is no demo 'titanic'; demos are breast_cancer, digits, privgan, wine"),
        (("schema", "network"), "there is no schema 'network'; schemas are coordinator, neutral-server, party, plan"),
        (("report", "nothing"), "holds no metrics.json; name a run that has finished"),
        (("party", "serve", "nowhere.toml"), "cannot read nowhere.toml"),
        (("certs", "init", "certs", "--name", "operator"), "a party cannot be called coordinator, neutral-server or"),
        (("certs", "show", "nowhere.pem"), "cannot read nowhere.pem: No such file or directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_command_that_cannot_be_carried_out(arguments, sentence, command_here):
    code = 3 if arguments[:2] == ("certs", "show") else 2
    command_here(*arguments).refused(code, sentence)


@pytest.fixture(scope="module")
def configs(tmp_path_factory):
    """A right config of each daemon, as documents; nobody listens at its addresses."""
    certs = tmp_path_factory.mktemp("certs")
    make_certificates(certs, "ann", "bob")
    pins = {"peers": {}, "columns": {}}
    return {
        "party": party_config(certs, "ann", "127.0.0.1:1", "127.0.0.1:1", {}, pins),
        "neutral-server": server_config(certs, "127.0.0.1:0"),
        "coordinator": coordinator_config(certs, "127.0.0.1:0", "127.0.0.1:1"),
    }


@pytest.mark.parametrize(
    ("role", "key", "meant"),
    [
        ("party", "state_dir", "state_directory"),
        ("neutral-server", "listn", "listen"),
        ("coordinator", "wait_second", "wait_seconds"),
    ],
)
def test_an_unknown_key_in_a_config(role, key, meant, configs, command_here, tmp_path):
    config = write_toml(tmp_path / "config.toml", {**configs[role], key: "x"})
    command_here(role, "serve", config).refused(2, f"config.toml: unknown key '{key}'; did you mean '{meant}'?")


def test_the_doctor_says_the_same_of_a_config(configs, command_here, tmp_path):
    config = write_toml(tmp_path / "config.toml", {**configs["party"], "state_dir": "x"})
    outcome = command_here("doctor", config)
    assert outcome.code == 2
    assert "unknown key 'state_dir'; did you mean 'state_directory'?" in outcome.out


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"policy": {"peers": {"bob": "sha256:12"}, "columns": {}}}, "the pin of 'bob' is not `sha256:` and 64 hex"),
        ({"policy": {"peers": {}}}, "'policy.columns' is missing"),
        ({"tables": {"t": {"source": "a.csv", "colums": {}}}}, "did you mean 'columns'?"),
        ({"tables": {"t": {"source": "a.csv", "columns": {"x": {"type": "real", "lo": 1}}}}}, "did you mean 'low'?"),
        ({"tables": {"t": {"source": "a.csv", "columns": {"x": {"type": "category"}}}}}, "needs its categories"),
        ({"tables": {"t": {"source": "builtin:wine", "id": "n"}}}, "has no id column"),
    ],
)
def test_a_party_config_that_cannot_be(changes, sentence, configs):
    with pytest.raises(SettingsError) as caught:
        parse_settings(PartySettings, tomli_w.dumps({**configs["party"], **changes}), "party.toml")
    assert sentence in str(caught.value)
