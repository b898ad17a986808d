# Two commands for a fresh machine with Python 3.11 or newer: `make demo` and `make test`.

SHELL := /bin/bash
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
EXTRAS ?= all
JOBS ?= 2

# Scenes of your own: `make demo SCENES=path`. Without, generated ones.
SCENES ?=
OUT ?= out/demo
FROM = $(if $(SCENES),--scenes "$(SCENES)")
SECONDS_PPO ?= 60
SECONDS_RLFTSIM ?= 90
DATA = $(or $(TRAFFICGYM_TEST_DATA),../shared)/data

export OMP_NUM_THREADS ?= 1
export SDL_VIDEODRIVER ?= dummy
export PYGAME_HIDE_SUPPORT_PROMPT ?= 1
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: help setup demo ppo test check format lint type tests docs bench clean
.DEFAULT_GOAL := help

help:  ## List the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY)  ## Make .venv and install everything, unless that is up to date

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer found; install one, or say make PYTHON=/path/to/python3" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "error: $(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "installing into $(VENV); a few minutes the first time"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS)]"
	@touch $@

demo: $(READY)  ## Drive scenes, fine-tune the shipped agents for a minute and a half, compare and film them
	$(BIN)/trafficgym evaluate $(FROM) --policy log --policy smart --policy idm --policy constant_velocity --policy random --out "$(OUT)"
	rm -rf "$(OUT)/rlftsim"
	$(BIN)/python -m trafficgym_baselines.rlftsim $(FROM) --checkpoint micro --seconds $(SECONDS_RLFTSIM) --out "$(OUT)/rlftsim"
	-$(BIN)/python -m trafficgym_baselines.before_and_after $(FROM) --before micro --after "$(OUT)/rlftsim/policy.safetensors" --out "$(OUT)/before_after.gif"

ppo: $(READY)  ## Train PPO of stable-baselines3 for a minute
	$(BIN)/python -m trafficgym_baselines.ppo_single $(FROM) --seconds $(SECONDS_PPO)

test: check tests  ## All that must pass before a change is merged

check: lint type

format: $(READY)  ## Rewrite the sources in the one format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(READY)  ## Format and lint, without changing anything
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

type: $(READY)  ## Static types
	$(BIN)/mypy

tests: $(READY)  ## The tests alone
	$(BIN)/pytest -n $(JOBS)

docs: $(READY)  ## Build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(READY)  ## Speed on this machine; some need the recorded scenes of TRAFFICGYM_TEST_DATA
	$(BIN)/python benchmarks/env.py --scenes "$(DATA)/gpudrive" --every 12
	$(BIN)/python benchmarks/convert.py --scenes "$(DATA)/womd_converted"
	$(BIN)/python benchmarks/dynamics_error.py --scenes "$(DATA)/womd" "$(DATA)/womd_converted"
	$(BIN)/python benchmarks/painter.py
	$(BIN)/python benchmarks/wosac.py --scenes "$(DATA)/womd" "$(DATA)/womd_converted"
	$(BIN)/python benchmarks/nominal.py --seeds 200
	$(BIN)/python benchmarks/longtail.py
	$(BIN)/python benchmarks/smart.py --data "$(DATA)/.."
	$(BIN)/python benchmarks/rlftsim.py

clean:  ## Remove what the targets made, except .venv
	rm -rf out runs site build dist .mypy_cache .pytest_cache .ruff_cache .benchmarks
