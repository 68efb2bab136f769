# `make train` trains, `make up` starts a whole local installation, `make test` tests; each installs what it needs first.
# `make train ARGS="--corpus.num-documents 500"` passes parameters.

PYTHON ?= $(or $(shell command -v python3.11),python3)
ARGS ?=

.PHONY: train up test test-slow lint lock clean

train: .venv/.run
	.venv/bin/python flows/train.py $(ARGS)

# Prefect's server with its UI, work pools, deployments, automations and workers; Ctrl-C stops everything.
up: .venv/.run
	@exec .venv/bin/python -m deployments.up $(ARGS)

test: .venv/.test
	.venv/bin/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

test-slow: .venv/.test
	.venv/bin/python -m pytest -m "slow and not gpu" $(ARGS)

lint: .venv/.test
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
		{ echo "error: Python 3.11 is required, but '$(PYTHON)' is not; run, for example, make train PYTHON=/path/to/python3.11" >&2; exit 2; }
	@echo "creating .venv; the first installation takes some minutes"
	$(PYTHON) -m venv .venv

# requirements.lock pins every version of the tested environment.
.venv/.run: pyproject.toml requirements.lock | .venv/bin/python
	.venv/bin/python -m pip install --quiet --constraint requirements.lock --editable .
	touch $@

.venv/.test: pyproject.toml requirements.lock | .venv/bin/python
	.venv/bin/python -m pip install --quiet --constraint requirements.lock --editable ".[test]"
	touch .venv/.run $@

# Resolves again within the bounds of pyproject.toml and writes the installed versions to requirements.lock. A build's
# local version (+cpu) is removed, so that the same lock serves CPU and CUDA builds.
lock:
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --editable ".[test]"
	.venv-lock/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > requirements.lock
	rm -rf .venv-lock

clean:
	rm -rf .venv .venv-lock build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
