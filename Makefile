# Two commands matter: `make demo` trains the starter run, `make test` proves the house stands.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo run test check proof screenshots setup clean

help:            ## this list
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 14

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "kto-tui needs Python 3.11 or newer, this is %s. Name one with: make PYTHON=python3.12 ..." % sys.version.split()[0])'
	@echo "creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)

# torch goes first and alone: every later requirement then finds it already satisfied.
$(VENV)/.train: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing the pinned training packages (minutes, once)"
	@$(PIP) torch
	@$(PIP) --editable '.[train]'
	@touch $@

$(VENV)/.dev: $(VENV)/.train
	@echo "installing the pinned test tools"
	@$(PIP) --editable '.[train,dev]'
	@touch $@

setup: $(VENV)/.dev  ## create .venv with everything

demo: $(VENV)/.train ## train the starter run: the wizard on a terminal, plain lines without one
	@$(BIN)/kto-tui demo

run: $(VENV)/.train  ## open the wizard
	@$(BIN)/kto-tui

check: $(VENV)/.dev  ## lint, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check          ## check, then every quick test
	$(BIN)/pytest -m "not proof" --numprocesses 4 --dist worksteal

proof: $(VENV)/.dev  ## the slow proofs: the real starter run, memory against published measurements
	$(BIN)/pytest -m proof tests/proof/test_starter_run.py
	$(BIN)/pytest -m proof --ignore tests/proof/test_starter_run.py --numprocesses 2 --dist load -rP

screenshots: $(VENV)/.dev ## redraw screenshots/*.svg from the real app
	$(BIN)/python screenshots/make.py

clean:               ## remove .venv and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache build dist
