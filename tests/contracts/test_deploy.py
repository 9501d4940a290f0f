"""The deployment files hold together: references, users, ports, commands, configs, health checks, pins."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from coordinator.certificate_authority import CertificateAuthority, write_issued
from coordinator.cli.main import build
from coordinator.job_plan import parse_job_plan
from coordinator.settings import CoordinatorSettings
from kernel.process import load_identity, load_settings
from kernel.wire.identity import Peer, fingerprint, load_certificate
from kernel.wire.server import Listener
from neutral_server.settings import NeutralServerSettings
from party.policy import check_columns, check_plan
from party.rows.loaders import declared_columns
from party.settings import PartySettings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
PARTIES = ("party-a", "party-b")
LISTENERS = {
    "coordinator": ("deploy/Dockerfile.coordinator", CoordinatorSettings),
    "neutral-server": ("deploy/Dockerfile.neutral-server", NeutralServerSettings),
}
MODELS = {
    "coordinator": CoordinatorSettings,
    "neutral-server": NeutralServerSettings,
    "party-a": PartySettings,
    "party-b": PartySettings,
}
DOCKERFILES = sorted(DEPLOY.glob("Dockerfile.*"))


def instructions(dockerfile):
    """(instruction, argument) pairs, continuation lines joined, comments left out."""
    text = re.sub(r"^#.*\n", "", dockerfile.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [tuple(line.split(None, 1)) for line in lines if line.strip()]


def last(dockerfile, name):
    return [argument for instruction, argument in instructions(dockerfile) if instruction == name][-1]


def parse(command, arguments):
    """Parse as `tertium ARGUMENTS` would, without running anything; raises for an unknown command or option."""
    context = command.make_context("tertium", [], resilient_parsing=True)
    while hasattr(command, "get_command"):
        found = command.get_command(context, arguments[0])
        assert found is not None, f"there is no command {arguments[0]!r}"
        command, arguments = found, arguments[1:]
    return command.make_context(command.name, list(arguments), parent=context)


# --- compose.yaml ----------------------------------------------------------------------------------------------------


def test_every_reference_is_declared_and_every_declaration_is_used():
    networks = {name for service in SERVICES.values() for name in service.get("networks", ())}
    mounts = [mount.split(":") for service in SERVICES.values() for mount in service.get("volumes", ())]
    named = {source for source, *_ in mounts if not source.startswith((".", "/"))}
    assert networks == set(COMPOSE["networks"])
    assert named == set(COMPOSE["volumes"])
    for source, *_ in mounts:
        if source.startswith("."):
            assert (DEPLOY / source).is_dir(), source


def test_dependencies_exist_and_can_become_healthy():
    for name, service in SERVICES.items():
        for wanted, how in service.get("depends_on", {}).items():
            assert wanted in SERVICES, f"{name} depends on {wanted}"
            if how["condition"] == "service_healthy":
                dockerfile = ROOT / SERVICES[wanted]["build"]["dockerfile"]
                assert any(instruction == "HEALTHCHECK" for instruction, _ in instructions(dockerfile)), wanted
                assert "healthcheck" not in SERVICES[wanted], wanted


@pytest.mark.parametrize("name", SERVICES)
def test_services_build_here_and_run_as_an_ordinary_user(name):
    service = SERVICES[name]
    assert (DEPLOY / service["build"]["context"]).resolve() == ROOT
    assert (ROOT / service["build"]["dockerfile"]).is_file()
    assert int(service["user"].partition(":")[0]) >= 1000
    assert not service.get("privileged")


@pytest.mark.parametrize("name", [name for name in SERVICES if "entrypoint" not in SERVICES[name]])
def test_every_command_is_one_of_ours(name):
    assert "command" in SERVICES[name]
    parse(typer.main.get_command(build()), SERVICES[name]["command"])


def test_the_parser_of_this_test_refuses_what_the_command_line_refuses():
    command = typer.main.get_command(build())
    with pytest.raises(AssertionError, match="no command 'serve'"):
        parse(command, ["serve"])
    with pytest.raises(Exception, match="colour"):
        parse(command, ["run", "plan.toml", "--colour"])


def test_no_party_can_be_reached_and_parties_share_no_network():
    for name in PARTIES:
        assert "ports" not in SERVICES[name]
        assert "expose" not in SERVICES[name]
        assert "network_mode" not in SERVICES[name]
    assert not set(SERVICES["party-a"]["networks"]) & set(SERVICES["party-b"]["networks"])
    for name in PARTIES:
        for listener in LISTENERS:
            assert set(SERVICES[name]["networks"]) <= set(SERVICES[listener]["networks"])


def test_each_role_sees_its_own_keys_only():
    for name in (*PARTIES, *LISTENERS, "operator"):
        sources = [mount.split(":")[0] for mount in SERVICES[name]["volumes"]]
        assert [source for source in sources if source.startswith("role-")] == [f"role-{name}"]
        assert "desk" not in sources


# --- images ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_images_run_as_an_ordinary_user_and_copy_what_exists(dockerfile):
    assert int(last(dockerfile, "USER").partition(":")[0]) >= 1000
    for instruction, argument in instructions(dockerfile):
        if instruction == "COPY" and not argument.startswith("--from"):
            for source in argument.split()[:-1]:
                assert (ROOT / source).exists(), source
    assert json.loads(last(dockerfile, "ENTRYPOINT")) == ["tertium"]
    parse(typer.main.get_command(build()), json.loads(last(dockerfile, "CMD")))


def test_the_party_image_has_no_tensorflow_and_no_port():
    dockerfile = DEPLOY / "Dockerfile.party"
    assert not [one for one, _ in instructions(dockerfile) if one in ("EXPOSE", "HEALTHCHECK")]
    assert not re.search(r"\[(neutral-server|demo|dev)", dockerfile.read_text(encoding="utf-8"))
    assert SERVICES["party-a"]["build"]["args"]["EXTRAS"] == "[tables]"


@pytest.mark.parametrize("role", LISTENERS)
def test_the_health_check_tells_a_serving_role_from_a_stopped_one(role, tmp_path):
    dockerfile, model = LISTENERS[role]
    command = json.loads(last(ROOT / dockerfile, "HEALTHCHECK").partition("CMD")[2])
    authority = CertificateAuthority.create()
    authority.save(tmp_path)
    write_issued(tmp_path, role, authority.issue(Peer(role, role)))
    config = tmp_path / "config.toml"
    text = (DEPLOY / "compose" / f"{role}.toml").read_text(encoding="utf-8")
    config.write_text(text, encoding="utf-8")
    settings = load_settings(model, config)
    listener = Listener("127.0.0.1:0", load_identity(settings.tls, role, role), ())
    config.write_text(re.sub(r'listen = ".*"', f'listen = "0.0.0.0:{listener.port}"', text), encoding="utf-8")
    listener.start()
    run = [sys.executable, *command[1:-1], str(config)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        assert subprocess.run(run, env=environment, timeout=60, check=False).returncode == 0
    finally:
        listener.stop(0)
    stopped = subprocess.run(run, env=environment, timeout=60, check=False, stderr=subprocess.DEVNULL)
    assert stopped.returncode != 0


# --- configs and plans -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("directory", ["configs", "compose"])
@pytest.mark.parametrize("name", MODELS)
def test_configs_are_valid_and_keep_state_and_certificates_where_the_readme_says(directory, name):
    settings = load_settings(MODELS[name], DEPLOY / directory / f"{name}.toml")
    assert settings.name == name
    assert settings.tls.certificate.name == f"{name}.pem"
    assert settings.tls.key.name == f"{name}.key"
    if directory == "configs":
        state = settings.runs_directory if name == "coordinator" else settings.state_directory
        assert (ROOT / "state" / name) in (state.resolve(), state.resolve().parent)
        assert settings.tls.key.parent.resolve() == ROOT / "certs"


@pytest.mark.parametrize("directory", ["configs", "compose"])
def test_parties_dial_where_the_others_listen(directory):
    listen = {
        name: load_settings(MODELS[name], DEPLOY / directory / f"{name}.toml").listen.rpartition(":")[2]
        for name in LISTENERS
    }
    coordinator = load_settings(CoordinatorSettings, DEPLOY / directory / "coordinator.toml")
    assert coordinator.neutral_server.address.rpartition(":")[2] == listen["neutral-server"]
    for name in PARTIES:
        party = load_settings(PartySettings, DEPLOY / directory / f"{name}.toml")
        assert party.coordinator.address.rpartition(":")[2] == listen["coordinator"]
        assert party.neutral_server.address.rpartition(":")[2] == listen["neutral-server"]


@pytest.mark.parametrize(
    ("directory", "plan", "new_rows"),
    [
        ("configs", "plans/fraud.toml", "fraud-new"),
        ("configs", "../coordinator/local/plans/privgan.toml", None),
        ("compose", "compose/breast_cancer.toml", None),
    ],
)
@pytest.mark.parametrize("name", PARTIES)
def test_the_parties_policies_accept_the_plan_they_are_shipped_with(directory, plan, new_rows, name):
    settings = load_settings(PartySettings, DEPLOY / directory / f"{name}.toml")
    message = parse_job_plan((DEPLOY / plan).read_text(encoding="utf-8")).message()
    tables = {table: list(declared_columns(section)) for table, section in settings.tables.items()}
    check_plan(settings.policy, message, name, tables)
    if new_rows is not None:
        wanted = next(list(party.columns) for party in message.parties if party.name == name)
        check_columns(name, new_rows, wanted, settings.policy.columns, tables)


SWEEPS = sorted((DEPLOY / "plans").glob("*-sweep*.toml"))


@pytest.mark.parametrize("plan", sorted({*(DEPLOY / "plans").glob("*.toml")} - {*SWEEPS}), ids=lambda path: path.name)
def test_plans_are_valid(plan):
    assert parse_job_plan(plan.read_text(encoding="utf-8"), plan.name).name == plan.stem


# --- scripts ---------------------------------------------------------------------------------------------------------


def test_certificates_are_handed_out_and_pins_filled_in_and_a_second_time_changes_nothing(tmp_path):
    command = tmp_path / "tertium"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m coordinator.cli.main "$@"\n')
    command.chmod(0o755)
    environment = {**os.environ, "TERTIUM": str(command)}
    desk, roles = tmp_path / "desk", tmp_path / "roles"
    shell = shutil.which("sh")
    fill_pins = DEPLOY / "configs" / "fill_pins.sh"
    hand_out = [shell, DEPLOY / "compose" / "hand_out.sh", DEPLOY / "compose", fill_pins, desk, roles]
    subprocess.run(hand_out, env=environment, check=True, timeout=120, stdout=subprocess.DEVNULL)
    for name, peer in (("party-a", "party-b"), ("party-b", "party-a")):
        assert sorted(path.name for path in (roles / name).iterdir()) == [
            "authority.pem",
            "config.toml",
            f"{name}.key",
            f"{name}.pem",
        ]
        settings = load_settings(PartySettings, roles / name / "config.toml")
        assert load_identity(settings.tls, "party", name).name == name
        shown = fingerprint(load_certificate((roles / peer / f"{peer}.pem").read_bytes(), peer))
        assert settings.policy.peers == {peer: shown}
        assert (roles / name / f"{name}.key").stat().st_mode & 0o077 == 0
    assert not list(roles.rglob("authority.key"))

    before = {path: path.read_bytes() for path in desk.rglob("*") if path.is_file()}
    again = [shell, fill_pins, desk / "certs", desk / "configs"]
    subprocess.run(again, env=environment, check=True, timeout=120, stdout=subprocess.DEVNULL)
    assert {path: path.read_bytes() for path in desk.rglob("*") if path.is_file()} == before
