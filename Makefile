# `make run` shows a complete clocksvc at work, `make test` runs its tests. Both install what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SEEDS ?= 2000
MINUTES ?= 5
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
REQUIREMENTS := $(patsubst %,requirements/%.txt,service taskbroker outbox build test)
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command "make requirements"
# The options that pin packages as in these files, and leave out of the next one those that these files have for all platforms.
pinned = $(foreach file,$(1),--constraints $(file)) $$(sed -nE 's/^([a-z0-9-]+)==[^;]*$$/--no-emit-package \1/p' $(1))
# Each file runs in one process, because its tests share servers. Long files come first.
PARALLEL := --dist loadfile --no-loadscope-reorder --durations=25

# The tests start hundreds of Python processes. Without bytecode files, each of them would compile all modules again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test test-ops check format bench simulate defects interleavings consumers outages fleet-outages observed-outages scheduler-outages pipeline-outages soak mistakes floors cluster dashboards schema requirements kafka-jars dist clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(STAMP)  ## a complete clocksvc in this terminal: Kafka, Valkey, service, Celery, producers, consumers
	@$(BIN)/clocksvc dev $(ARGS)

test: $(STAMP)  ## all tests except test-ops; lists the 25 slowest; the tests start their own servers
	@$(BIN)/python -m pytest $(PARALLEL) --numprocesses 4 --ignore=tests/system/ops $(ARGS)

test-ops: $(STAMP)  ## page, dashboards, alerts, chart, container, Java; downloads Chromium, Prometheus, helm, a compiler of Java and Kafka's programs
	@$(BIN)/python -m tests.system.ops.fetch
	@$(BIN)/python -m pytest $(PARALLEL) --numprocesses 3 tests/system/ops $(ARGS)

check: $(STAMP)  ## format, lint, strict types of package, tests and helm, import layers, language
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@! git grep -nIiEf .ci/retired-words -- ':!.ci/retired-words' || { echo 'plain technical English, please: CONTRIBUTING.md, "Rules"'; exit 1; }

format: $(STAMP)  ## format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(STAMP)  ## ratios from interleaved pairs, with spread
	@$(BIN)/python -m tests.bench $(ARGS)

simulate: $(STAMP)  ## many seeds of the simulations of leaders, schedulers and observers: make simulate SEEDS=2000
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS) $(ARGS)
	@$(BIN)/python -m tests.scheduler_simulation --seeds $(SEEDS) $(ARGS)
	@$(BIN)/python -m tests.observer_simulation --seeds $(SEEDS) $(ARGS)

defects: $(STAMP)  ## how soon the simulations find each deliberate defect: make defects SEEDS=2000
	@$(BIN)/python -m tests.simulation.defects --seeds $(SEEDS) $(ARGS)
	@$(BIN)/python -m tests.scheduler_simulation --defects --seeds $(SEEDS) $(ARGS)
	@$(BIN)/python -m tests.observer_simulation --defects --seeds $(SEEDS) $(ARGS)

interleavings: $(STAMP)  ## many interleavings of buffered consumers, and how soon each defect is found: make interleavings SEEDS=10000
	@$(BIN)/python -m tests.consumer_run --seeds $(SEEDS) $(ARGS)

soak: $(STAMP)  ## Kafka's own traps for longer: delayed requests, a deposed partition leader, a table whose broker is killed, an observer whose brokers are suspended, 100 kills of an outbox's relay, schedulers replaced and killed: make soak MINUTES=10
	@SOAK_SECONDS=$$((60 * $(MINUTES))) $(BIN)/python -m pytest -s --timeout 0 $(ARGS) \
		tests/interfaces/test_delayed_requests.py tests/system/outages/test_deposed_partition_leader.py \
		tests/system/outages/soak_compacted_table.py tests/system/outages/soak_observed_brokers.py \
		tests/system/kip848_rebalance.py tests/system/outages/rolling_schedulers.py
	@$(BIN)/python -m tests.system.scheduler_outages
	@$(BIN)/python -m tests.system.outages.pipeline --minutes 1
	@$(BIN)/python -m tests.system.ops.fetch kafka-tools
	@$(BIN)/python -m tests.system.outages.observed --calm 0.5 --minutes 2
	@OUTBOX_KILLS=100 $(BIN)/python -m pytest -s --timeout 0 $(ARGS) tests/system/outbox/test_kills.py
	@$(BIN)/python -m tests.system.package
	@$(BIN)/python -m tests.system.floors

floors: $(STAMP)  ## the path on the oldest supported versions: Kafka 3.9 with Redis 6.2, and with Redis 7.0
	@$(BIN)/python -m tests.system.floors $(ARGS)

consumers: $(STAMP)  ## the examples of docs/consumers.md through rebalances, on real servers; needs Node
	@$(BIN)/python -m pytest $(ARGS) tests/system/path/arroyo_buffer.py tests/system/docs/other_consumers.py

outages: $(STAMP)  ## faults in a real installation: make outages MINUTES=5 (ARGS=--cluster: three brokers; --slices FILE: sum several runs)
	@$(BIN)/python -m tests.system.outages --minutes $(MINUTES) $(ARGS)

fleet-outages: $(STAMP)  ## two and three replicas with 48 clocks over all logs: kills, no Kafka, no Redis, rolling changes (25 minutes)
	@$(BIN)/python -m tests.system.outages.fleet $(ARGS)

observed-outages: $(STAMP)  ## clocks from the committed offsets of groups in Python and Java, with faults (20 minutes)
	@$(BIN)/python -m tests.system.ops.fetch kafka-tools
	@$(BIN)/python -m tests.system.outages.observed $(ARGS)

scheduler-outages: $(STAMP)  ## faults in an installation with three schedulers, while a clock runs through an hour (15 minutes)
	@$(BIN)/python -m tests.system.scheduler_outages $(ARGS)

pipeline-outages: $(STAMP)  ## faults at each stage of a pipeline, judged by the contents of its sink: make pipeline-outages MINUTES=10
	@$(BIN)/python -m tests.system.outages.pipeline --minutes $(MINUTES) $(ARGS)

mistakes: $(STAMP)  ## more than 60 mistakes of users at once: none makes a false tick, and log, status, page and check name each (3 minutes)
	@$(BIN)/python -m tests.system.ops.fetch
	@$(BIN)/python -m tests.system.mistakes $(ARGS)

cluster: $(STAMP)  ## install, upgrade and roll back the chart on a real Kubernetes API server; builds the server first (5 minutes)
	@$(BIN)/python -m tests.system.ops.cluster $(ARGS)

dashboards: $(STAMP)  ## write the chart's Grafana dashboards from helm/dashboards
	@$(BIN)/python -m helm.dashboards $(ARGS)

schema: $(STAMP)  ## write the chart's values.schema.json from the settings, and its README and icon
	@$(BIN)/python -m helm.schema $(ARGS)
	@$(BIN)/python -m helm.metadata

requirements: $(STAMP)  ## pin packages as pyproject.toml needs them, with the hashes of all platforms (newer ones: ARGS=--upgrade)
	@$(LOCK) pyproject.toml --extra server --extra celery --output-file requirements/service.txt $(ARGS)
	@$(LOCK) pyproject.toml --extra taskbroker $(call pinned,requirements/service.txt) --output-file requirements/taskbroker.txt $(ARGS)
	@$(LOCK) pyproject.toml --extra outbox --extra postgres $(call pinned,requirements/service.txt) --output-file requirements/outbox.txt $(ARGS)
	@$(LOCK) --group build --constraints requirements/service.txt --output-file requirements/build.txt $(ARGS)
	@$(LOCK) --group go --output-file requirements/go.txt $(ARGS)
	@$(LOCK) --group floors --output-file requirements/floors.txt $(ARGS)
	@$(LOCK) pyproject.toml --all-extras --group build --group test $(call pinned,$(filter-out %/test.txt,$(REQUIREMENTS))) \
		--output-file requirements/test.txt $(ARGS)

kafka-jars: $(STAMP)  ## pin the jars of Kafka's version in clocksvc/dev/kafka_jars.py by their SHA-256
	@$(BIN)/python -m clocksvc.dev.kafka_jars

dist: $(STAMP)  ## wheel, sdist and chart of this version in dist/; builds helm, once
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation --outdir dist
	@helm=$$($(BIN)/python -m tests.system.ops.fetch helm | sed -n 's/^helm: //p') && \
		"$$helm" package helm/clocksvc --destination dist

clean:  ## remove what was installed here
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info

$(STAMP): $(REQUIREMENTS) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "clocksvc needs Python 3.11 or newer: make PYTHON=python3.12 …"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); $(PYTHON) -m virtualenv $(VENV); } || { rm -rf $(VENV); echo "can't create a virtual environment: install your system's python3-venv, or: $(PYTHON) -m pip install --user virtualenv"; exit 1; }
	@echo "installing the packages of requirements/, only once …"
	@# Wheels only: a build of a source distribution would download packages that no hash pins.
	@$(INSTALL) --require-hashes --only-binary :all: $(REQUIREMENTS:%=--requirement %)
	@$(INSTALL) --no-index --no-deps --no-build-isolation --editable .
	@touch $@
