# Set-up is included: `make train` trains, `make up` brings up a whole local installation, `make test` tests.
# `make train ARGS="--corpus.num-documents 500"` passes parameters on.

PYTHON ?= $(or $(shell command -v python3.11),python3)
ARGS ?=

.PHONY: train up test test-slow lint lock clean

train: .venv/.run
	.venv/bin/python flows/train.py $(ARGS)

# Prefect's server with its UI, pools, deployments, automations and workers; Ctrl-C ends everything.
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
		{ echo "error: Python 3.11 is needed and '$(PYTHON)' is not that: name one, as in make train PYTHON=/path/to/python3.11" >&2; exit 2; }
	@echo "making .venv; the first install takes some minutes"
	$(PYTHON) -m venv .venv

# requirements.lock holds every version of the tested environment; pip installs exactly those.
.venv/.run: pyproject.toml requirements.lock | .venv/bin/python
	.venv/bin/python -m pip install --quiet --constraint requirements.lock --editable .
	touch $@

.venv/.test: pyproject.toml requirements.lock | .venv/bin/python
	.venv/bin/python -m pip install --quiet --constraint requirements.lock --editable ".[test]"
	touch .venv/.run $@

# Resolve again within the bounds of pyproject.toml and write down what was installed. A build's local version (+cpu)
# is left out, so that the same lock serves CPU and CUDA builds.
lock:
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --editable ".[test]"
	.venv-lock/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > requirements.lock
	rm -rf .venv-lock

clean:
	rm -rf .venv .venv-lock build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
