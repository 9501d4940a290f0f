"""The stubs in memory are those of the protos on disk."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120.0


def test_compiling_the_protos_again_changes_no_byte(tmp_path):
    command = [sys.executable, ROOT / "hatch_build.py", tmp_path]
    subprocess.run(command, cwd=ROOT, capture_output=True, timeout=SECONDS, check=True)
    compiled = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    protos = sorted((ROOT / "protos" / "v1").glob("*.proto"))
    assert len(compiled) == 3 * len(protos)  # messages, their types, services
    stale = [str(path) for path, data in compiled.items() if (ROOT / path).read_bytes() != data]
    assert not stale, "run `make protos`"


def test_no_stub_outlives_its_proto():
    stubs = {path.name.split("_pb2")[0] for path in (ROOT / "protos" / "v1").glob("*_pb2*.py*")}
    assert stubs == {path.stem for path in (ROOT / "protos" / "v1").glob("*.proto")}
