# `make` lists the targets. Needs Python 3.11 or newer, and GNU make 3.81 or newer, which macOS has.

PY := .venv/bin/python
# A checkout that was moved, or whose Python is gone, is set up again.
SOUND := $(shell test "$$(cat .venv/.made-in 2>/dev/null)" = "$(CURDIR)" && $(PY) -c '' 2>/dev/null && echo yes)

.DEFAULT_GOAL := help
.PHONY: help install run test fmt lint types layers simulate-days bench bench-freshness takeover downtime chaos mutants lock wheel clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s  %s\n", $$1, $$2 }' Makefile

install: .venv/.run-is-ready ## everything needed to run, into .venv
	@echo "Ready: .venv/bin/te-collector"

run: .venv/.run-is-ready ## the demo: simulated API, real Kafka, collector (DURATION=60s make run ends by itself)
	@exec .venv/bin/te-collector demo $(if $(DURATION),--duration $(DURATION))

test: lint types layers ## quick checks, then all tests
	@$(PY) -m pytest -n 2 --dist loadfile

fmt: .venv/.dev-is-ready ## format the code
	@$(PY) -m ruff check --quiet --fix-only .
	@$(PY) -m ruff format --quiet .

lint: .venv/.dev-is-ready ## style and likely mistakes
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --quiet --check .

types: .venv/.dev-is-ready ## static types
	@$(PY) -m mypy --no-error-summary

layers: .venv/.dev-is-ready ## who may import whom
	@.venv/bin/lint-imports >.venv/.layers.log 2>&1 || { cat .venv/.layers.log; exit 1; }

bench: .venv/.dev-is-ready ## how fast, on this machine
	@exec $(PY) -m tests.bench

simulate-days: .venv/.dev-is-ready ## days of collecting on virtual time, all of it from a seed (DAYS=30 SEED=1 SEEDS=20 WORKERS=3 JOBS=1)
	@exec $(PY) -m tests.simulation --days $(or $(DAYS),30) $(if $(SEED),--seed $(SEED)) --seeds $(or $(SEEDS),1) \
		$(if $(WORKERS),--workers $(WORKERS)) $(if $(JOBS),--jobs $(JOBS))

takeover: .venv/.dev-is-ready ## how soon other workers take over from one that is killed
	@exec $(PY) -m tests.takeover

downtime: .venv/.dev-is-ready ## half an hour without a collector, on real time and a real Kafka: is all there once? (MINUTES=30)
	@exec $(PY) -m tests.downtime $(if $(MINUTES),--minutes $(MINUTES))

chaos: .venv/.dev-is-ready ## kill workers and brokers, break the API: is all there once? (SEED= MINUTES= BROKERS=1|3 WORKERS=)
	@exec $(PY) -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) \
		$(if $(BROKERS),--brokers $(BROKERS)) $(if $(WORKERS),--workers $(WORKERS)) $(if $(LOAD),--load $(LOAD))

bench-freshness: .venv/.dev-is-ready ## how long sessions wait, next to the optimum (virtual time, some minutes)
	@exec $(PY) -m tests.freshness

mutants: .venv/.dev-is-ready ## do the tests catch seeded mistakes?
	@exec $(PY) -m tests.mutants

# dev.txt first: it decides the versions, the other files take theirs from it.
COMPILE = .tools/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header pyproject.toml
lock: .tools/.is-ready ## write requirements/*.txt anew from pyproject.toml
	@$(COMPILE) --extra local --group build --group test --group lint -o requirements/dev.txt
	@$(COMPILE) --extra local --group build -c requirements/dev.txt -o requirements/run.txt
	@$(COMPILE) -c requirements/dev.txt -o requirements/runtime.txt

wheel: .venv/.dev-is-ready ## build dist/*.whl
	@$(PY) -m build --wheel --no-isolation >.venv/.wheel.log 2>&1 || { cat .venv/.wheel.log; exit 1; }
	@ls dist/*.whl

clean: ## remove everything that make created here
	@rm -rf .venv .tools build dist .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: written last, so that an interrupted installation is done again.
.tools/.is-ready: requirements/tools.txt scripts/setup.sh
	@sh scripts/setup.sh tools
	@touch $@

.venv/.run-is-ready .venv/.dev-is-ready: .venv/.%-is-ready: requirements/%.txt pyproject.toml .tools/.is-ready
	@sh scripts/setup.sh $*
	@pwd >.venv/.made-in
	@touch $@

ifneq ($(SOUND),yes)
.PHONY: .venv/.run-is-ready .venv/.dev-is-ready
endif
