# make demo | test | nightly | lint | docs | hooks | bench | lock | clean. Everything is installed into .venv, by pip,
# at the versions of requirements.lock. Another interpreter: make test PYTHON=/path/to/python3.12

VENV := .venv
BIN := $(VENV)/bin
# -qq prints errors only: a mirror that lacks a package makes pip warn once for each. --no-compile: most modules that
# come along are never imported, Python compiles the others when they are.
PIP_INSTALL := $(BIN)/python -m pip install -qq --no-compile --disable-pip-version-check -c requirements.lock
# requirements.lock was resolved on 3.11, so it is tried first.
FITS := -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))'
PYTHON ?= $(shell for p in python3.11 python3.12 python3 python; do $$p $(FITS) >/dev/null 2>&1 && echo $$p && break; done)

# Without cached bytecode every worker process that Ray starts compiles torch anew: 16 s of CPU instead of 6.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test unit integration nightly lint docs hooks bench lock clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	@$(BIN)/rosa demo

test: unit integration

unit: $(VENV)/.installed-dev
	@$(BIN)/python -m pytest -q -m "not integration and not nightly" -n auto --maxprocesses 4 --dist loadfile --durations=10

integration: $(VENV)/.installed-dev
	@$(BIN)/python -m pytest -q -m "integration and not nightly" --durations=10 tests

# Minutes more than a change should wait for: the unit tests once more with the lines that they reach, the loop on S3,
# users kept to their replica, a sweep, a rollout of the graph of three deployments, another ranker on a bare log, and Kafka
# consumers that restart, freeze or lose their broker.
nightly: $(VENV)/.installed-dev
	@$(BIN)/python -m pytest -q -m "not integration and not nightly" -n auto --maxprocesses 4 --cov --cov-report=
	@$(BIN)/python -m pytest -q -m nightly --durations=10 tests

lint: $(VENV)/.installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@git ls-files -z -- ':!benchmarks/results' ':!requirements.lock' | xargs -0 $(BIN)/detect-secrets-hook --no-verify \
	  --exclude-lines '"model_version": "[0-9a-f]{16}"|ann:secret@'

# Writes site/, which opens from the disk; a link that leads nowhere is an error.
docs: $(VENV)/.installed-dev
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# From then on every commit runs what .pre-commit-config.yaml lists.
hooks: $(VENV)/.installed-dev
	@$(BIN)/pre-commit install

bench: $(VENV)/.installed-dev
	@$(BIN)/python benchmarks/train_throughput.py
	@test -d runs/simulator/log || $(BIN)/rosa simulate simulator
	@$(BIN)/python benchmarks/off_policy_coverage.py runs/simulator/log

# Records what .venv holds, without hosts, hashes or build tags such as +cpu.
lock: $(VENV)/.installed-dev
	@$(BIN)/python -m pip freeze --exclude-editable | sed -E 's/\+[A-Za-z0-9.]+$$//' | LC_ALL=C sort -f > $(VENV)/lock
	@if grep -nvE '^[A-Za-z0-9._-]+==[A-Za-z0-9._!]+$$' $(VENV)/lock; then \
	  echo "error: the lines above are not name==version; install these packages from an index" >&2; exit 1; fi
	@mv $(VENV)/lock requirements.lock

clean:
	@rm -rf $(VENV) site

$(BIN)/python:
	@test -n "$(PYTHON)" || { \
	  echo "error: needs Python 3.11 or 3.12, found neither; on Debian or Ubuntu: apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) $(FITS) || { echo "error: $(PYTHON) is not Python 3.11 or 3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "error: $(PYTHON) has no venv module; on Debian or Ubuntu: apt install $$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml requirements.lock | $(BIN)/python
	@echo "installing into $(VENV), which takes some minutes the first time"
	@$(PIP_INSTALL) -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@$(PIP_INSTALL) -e '.[dev,redis,kafka]'
	@touch $@
