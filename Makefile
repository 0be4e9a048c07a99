# The same targets for people, hooks and CI. Every target first sets up what it needs.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# Quiet and offline: no tool sends anything anywhere.
export DVC_NO_ANALYTICS := 1
export GX_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := true
export MLFLOW_DISABLE_TELEMETRY := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PREFECT_CLI_PROMPT := false

.DEFAULT_GOAL := help
.PHONY: help repro test test-infra lint ui serve bench claims docs setup setup-dev clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

repro: setup  ## set up, then run the whole pipeline (dvc repro) and show the figures
	$(BIN)/dvc repro
	@$(BIN)/python -m stages.tools.summary

test: setup-dev  ## set up, then run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=logical --maxprocesses=4 --dist=worksteal

test-infra: setup-dev  ## the flows against real servers: PostgreSQL, S3, MLflow, Prefect, a worker
	infra/packages.sh
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m infra --numprocesses=2 --dist=loadfile tests/infra tests/pipelines/flows

lint: setup-dev  ## style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

ui: setup  ## MLflow on the runs and versions of this checkout, at http://127.0.0.1:5000
	-$(BIN)/diffusionad track --all
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false $(BIN)/mlflow ui --backend-store-uri sqlite:///$(CURDIR)/.local/mlflow/mlflow.db

serve: setup  ## the flows with the schedules of params.yaml, until stopped; Prefect at http://127.0.0.1:4200
	$(BIN)/diffusionad serve

docs: setup-dev  ## build the pages of docs/ into .local/site; they open without a server
	$(BIN)/mkdocs build --strict

bench: setup-dev  ## export the starter model to every runtime and time them all: minutes
	infra/python -m stages.tools.bench $(or $(KEY),elpv-mono)

claims: setup-dev  ## measure the table of docs/performance.md again: half an hour; CLAIMS=starter,metrics for a part
	infra/python -m stages.tools.claims $(or $(KEY),elpv-mono)

setup: $(VENV)/.installed  ## make .venv with the pinned requirements; skipped when up to date
setup-dev: $(VENV)/.installed-dev

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || { \
	  echo "error: $(PYTHON) is not Python 3.11. Get it from https://www.python.org/downloads/, with \`apt install"; \
	  echo "python3.11 python3.11-venv\` or \`pyenv install 3.11\`, then: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; \
	  exit 1; } >&2
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	@touch $@

clean:  ## remove the environment and what the tools cached; data, models and reports stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
