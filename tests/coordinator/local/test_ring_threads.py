"""Threads for ring products in the roles of a local run: the environment that a role's process really gets."""

import os

import pytest
from local_runs import part, plan_toml

from coordinator.local.federation import LocalFederation
from coordinator.local.links.placement import Loopback
from coordinator.plan import parse_plan

PLAN = parse_plan(plan_toml("p", [part("a", "wine", "alcohol"), part("b", "wine", "ash", label="target")]))


class Telling(Loopback):
    """Starts a shell that says its share, in the place of the role's daemon."""

    def command(self, role):
        return ("sh", "-c", "echo $NUMBA_NUM_THREADS")


@pytest.fixture
def threads_of_a_role(tmp_path):
    def started() -> int:
        federation = LocalFederation(tmp_path / "run-1", PLAN, placement=Telling())
        home = federation.roles / "coordinator"
        home.mkdir(parents=True, exist_ok=True)
        federation.start_role("coordinator")
        federation._children["coordinator"].wait(10)
        return int((home / "log").read_text().split()[-1])

    return started


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (3, 1), (6, 2), (16, 5)])
def test_two_parties_and_the_dealer_share_the_cores_out(threads_of_a_role, monkeypatch, cores, threads):
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(cores)))
    assert threads_of_a_role() == threads


def test_a_system_without_affinity_counts_its_cores(threads_of_a_role, monkeypatch):
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert threads_of_a_role() == 2


def test_what_the_user_set_holds(threads_of_a_role, monkeypatch):
    monkeypatch.setenv("NUMBA_NUM_THREADS", "7")
    assert threads_of_a_role() == 7
