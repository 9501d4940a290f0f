"""Are the stubs beside the protos what the protos compile to? Exits 1 and names the files that are not."""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PATTERNS = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py")


def stubs(folder: Path) -> dict[str, bytes]:
    """Stub files in ``folder`` by name."""
    return {path.name: path.read_bytes() for pattern in PATTERNS for path in folder.glob(pattern)}


def stale() -> list[str]:
    """Names of stubs that are missing, left over or different from a fresh compilation."""
    sys.path.insert(0, str(ROOT))
    from hatch_build import compile_protos

    with tempfile.TemporaryDirectory() as directory:
        compile_protos(Path(directory))
        fresh = stubs(Path(directory) / "protos" / "v1")
    found = stubs(ROOT / "protos" / "v1")
    return sorted(name for name in fresh.keys() | found.keys() if fresh.get(name) != found.get(name))


if __name__ == "__main__":
    if names := stale():
        sys.exit(f"stubs are not what protos/v1 compiles to: {', '.join(names)}; run `make protos`")
