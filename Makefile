# One word runs everything. Each target makes .venv first if it is missing or pyproject.toml has changed.
PYTHON ?= python3
BIN := .venv/bin
# What is compiled once serves every later start, and tests make many: it is kept whatever the environment says.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test lint bench calibrate faults docs spark
help:  ## list these words
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

.venv/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "AdStyle needs Python 3.11 or later: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev,postgres]'
	touch $@

demo: .venv/.installed  ## the whole story in about a minute, offline
	$(BIN)/adstyle demo

test: .venv/.installed lint  ## everything that must hold
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

lint: .venv/.installed  ## style, types of the core, direction of every import
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.installed  ## every figure the README states; WRITE=1 puts them there
	$(BIN)/python -m benchmarks $(if $(WRITE),--write)

calibrate: .venv/.installed  ## every error rate the README states, in simulated worlds; WRITE=1 puts them there
	$(BIN)/python -m benchmarks.calibration $(if $(WRITE),--write)

spark: .venv/.installed  ## all that is tested of evidence, on Spark (Java 17 or later)
	ADSTYLE_REQUIRE_SPARK=1 ADSTYLE_SPARK=all OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m spark tests/events

faults: .venv/.installed  ## ingest killed at three hundred points, and a million broken lines
	ADSTYLE_KILL_POINTS=200 ADSTYLE_FUZZED_LINES=1000000 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/faults -q

docs: .venv/.installed  ## the parts of the README that are made from the code
	$(BIN)/python -m experiments.cli.reference
