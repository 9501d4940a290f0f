"""kernel.processor: cores this process may run on, and features by name."""

import os

import pytest

from kernel.processor import cores, has


def test_cores_are_those_of_the_affinity(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {3, 5, 6}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert cores() == 3


@pytest.mark.parametrize(("counted", "wanted"), [(6, 6), (None, 1)])
def test_without_affinity_all_are_counted(counted, wanted, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: counted)
    assert cores() == wanted


def test_a_feature_nobody_has_is_not_there():
    assert not has("avx4096")
