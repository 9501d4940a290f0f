"""coordinator.fetched_files: what an operator is sent of a run directory, and that nothing leads out of it."""

import pytest

from coordinator.fetched_files import files_of, is_fetched


def test_the_coordinators_files_and_synthetic_rows_are_sent(tmp_path):
    for name in ("plan.toml", "events.jsonl", "status.json", "report.html"):
        (tmp_path / name).write_text("x")
    for name in ("epoch-0010-party-a.npz", "20260101-000000-ab12.npz", "notes.txt", ".hidden.npz"):
        (tmp_path / "samples").mkdir(exist_ok=True)
        (tmp_path / "samples" / name).write_text("x")
    (tmp_path / "roles").mkdir()
    (tmp_path / "roles" / "secret.npz").write_text("x")
    assert files_of(tmp_path) == [
        "plan.toml",
        "events.jsonl",
        "samples/20260101-000000-ab12.npz",
        "samples/epoch-0010-party-a.npz",
    ]
    assert all(is_fetched(file) for file in files_of(tmp_path))


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "../plan.toml", "samples/../plan.toml", "samples/../../x.npz", "samples/.npz", "samples/a/b.npz",
     "samples/a.npz\n", "samples\\a.npz", "status.json", "roles/party/state/key"],
)  # fmt: skip
def test_no_other_path_is_taken_from_a_coordinator(path):
    assert not is_fetched(path)
