# Two commands matter: `make run` shows a complete clocksvc at work, `make test` proves it. Both set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SEEDS ?= 2000
MINUTES ?= 5

.DEFAULT_GOAL := help
.PHONY: help run test test-ops check format bench simulate defects outages cluster dashboards schema clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(STAMP)  ## a complete clocksvc, live in this terminal: Kafka, Valkey, service, Celery, producers, consumers
	@$(BIN)/clocksvc dev $(ARGS)

test: $(STAMP)  ## every test; real servers are started by the tests themselves
	@$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder --ignore=tests/system/ops $(ARGS)

test-ops: $(STAMP)  ## page, dashboards, alerts, chart and container, with Chromium, Prometheus and helm: gets them first
	@$(BIN)/python -m tests.system.ops.fetch
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder tests/system/ops $(ARGS)

check: $(STAMP)  ## format, lint, strict types over package, tests and helm, layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(STAMP)  ## put the code into its one format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(STAMP)  ## ratios from interleaved pairs, with spread
	@$(BIN)/python -m tests.bench $(ARGS)

simulate: $(STAMP)  ## many seeds of the simulation: make simulate SEEDS=2000
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS) $(ARGS)

defects: $(STAMP)  ## how soon the simulation finds each deliberate defect: make defects SEEDS=2000
	@$(BIN)/python -m tests.simulation.defects --seeds $(SEEDS) $(ARGS)

outages: $(STAMP)  ## faults upon a real installation: make outages MINUTES=5 (ARGS=--cluster for three brokers)
	@$(BIN)/python -m tests.system.outages --minutes $(MINUTES) $(ARGS)

cluster: $(STAMP)  ## the chart on a real Kubernetes API server: installed, upgraded, rolled back; builds it first (5 minutes)
	@$(BIN)/python -m tests.system.ops.cluster $(ARGS)

dashboards: $(STAMP)  ## write the chart's Grafana dashboards anew from helm/dashboards
	@$(BIN)/python -m helm.dashboards $(ARGS)

schema: $(STAMP)  ## write the chart's values.schema.json anew from the settings
	@$(BIN)/python -m helm.schema $(ARGS)

clean:  ## take away what was installed here
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info

$(STAMP): requirements.txt requirements-test.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "clocksvc needs Python 3.11 or newer: make PYTHON=python3.12 …"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); $(PYTHON) -m virtualenv $(VENV); } || { rm -rf $(VENV); echo "no virtual environment could be made: install your system's python3-venv, or: $(PYTHON) -m pip install --user virtualenv"; exit 1; }
	@echo "installing what requirements.txt and requirements-test.txt pin, once …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-test.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
