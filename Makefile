# make demo | test | check | protos | clean
# One environment, .venv, made when absent and installed again when what it was made from changes.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: demo test check protos clean

demo: $(STAMP)
	$(BIN)/tertium demo

test: $(STAMP)
	$(BIN)/python -m pytest

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python protos/check_fresh.py

# Stubs again, from protos/v1/*.proto into the same folder.
protos: $(STAMP)
	$(BIN)/python hatch_build.py

# The compiler of the stubs is pinned too, hence no build isolation.
$(STAMP): pyproject.toml constraints.txt hatch_build.py $(wildcard protos/v1/*.proto)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) hatchling editables grpcio-tools
	$(PIP) --no-build-isolation -e '.[dev]'
	touch $(STAMP)

# Leaves runs/, state/ and certs/ alone: they are yours.
clean:
	rm -rf .venv dist build .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	rm -f protos/v1/*_pb2.py protos/v1/*_pb2.pyi protos/v1/*_pb2_grpc.py
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
