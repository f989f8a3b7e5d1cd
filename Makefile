# Every target installs what it needs by itself. `make help` lists them.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.installed-bench
SPARK_STAMP := $(VENV)/.installed-spark
ARGS ?=
SIZE ?=
LOANS ?= 20000
KILLS ?= 80
RUNS ?=
SEED ?=
DAYS ?=
STORMS = $(if $(RUNS),--runs $(RUNS)) $(if $(SEED),--seed $(SEED)) $(if $(DAYS),--days $(DAYS))
REPLAY_LOANS = $(if $(filter file default undefined,$(origin LOANS)),1000000,$(LOANS))

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow diff histories targets scenarios sim kills docs bench bench-sending bench-hearing bench-health bench-workers bench-log replay log-mutations spark test-spark style types layers check lock clean

help:        ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-13s %s\n", $$1, $$2}'

install: $(STAMP)  ## Make .venv with the `duecourse` command and everything the tests need

$(STAMP): requirements-dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Duecourse needs Python 3.11 or newer; run `make PYTHON=python3.12`") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: install  ## Watch sixty days of a real loan book being collected (ARGS="--days 30 --seed 7")
	$(RUN)/duecourse demo $(ARGS)

test: install  ## The quick suite: minutes
	$(RUN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not spark" $(ARGS)

test-slow: install  ## The long runs: stress, a million pairs, sixty checked days
	$(RUN)/python -m pytest -m slow $(ARGS)

diff: install  ## A million random (rule, facts) pairs: interpreter == durable-rules == SQL
	$(RUN)/python -m benchmarks.differential $(ARGS)

histories: install  ## A hundred thousand random histories: the gate == a second, independent reading of the law
	$(RUN)/python -m pytest -n 2 --timeout=0 --hypothesis-profile=long tests/property/test_gate_brute.py $(ARGS)

targets: install  ## Every loan of a book: sweep == durable-rules == interpreter, on both databases (LOANS=1000000: half an hour, a dozen GB of disk and more)
	TARGETS_LOANS=$(LOANS) $(RUN)/python -m pytest -n 2 -m slow tests/integration/test_targets_at_scale.py $(ARGS)

scenarios: install  ## The strategies' own scenarios, on every target
	$(RUN)/duecourse rules test

sim: install  ## Sixty simulated days, and thirty in which everything fails, each checked (RUNS=500, or SEED=7 DAYS=30)
	$(if $(RUNS)$(SEED),$(RUN)/python -m tests.simulation.storms $(STORMS) $(ARGS),$(RUN)/python -m pytest -m slow tests/simulation $(ARGS))

kills: install  ## `kill -9` of dispatching workers, half of them on each database (KILLS=1000: half an hour)
	DUECOURSE_KILLS=$(KILLS) DUECOURSE_KILLS_SEED=$(SEED) $(RUN)/python -m pytest -s -m slow tests/integration/test_kills.py $(ARGS)

docs: install  ## Run every session the pages show, and write the real output into them
	$(RUN)/python -m tests.facts_page
	$(RUN)/python -m tests.outcomes_page
	$(RUN)/python -m tests.pages README.md docs/operator.md docs/desk.md docs/compliance-officer.md docs/strategy-owner.md docs/scale-out.md

test-spark: $(SPARK_STAMP)  ## The tests that need Spark, on a cluster of two executors of their own
	$(RUN)/python -m pytest -m spark $(ARGS)

spark: $(SPARK_STAMP)  ## A million loans on DuckDB, and on Spark with one executor and with two: the same decisions, and the time
	$(RUN)/python -m benchmarks.spark $(ARGS)

$(SPARK_STAMP): $(STAMP) requirements-spark.txt
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-spark.txt
	@touch $@

bench: $(BENCH_STAMP)  ## Sweep next to plain reads and writes, rules next to other engines, verdicts a second (SIZE=100k|1m|10m)
	$(RUN)/python -m benchmarks.sweep $(if $(SIZE),--sizes $(SIZE)) $(ARGS)
	$(RUN)/python -m benchmarks.matching
	$(RUN)/python -m benchmarks.decisions
	$(RUN)/python -m benchmarks.live

bench-sending: install  ## Texts and mails a second to servers on this machine, next to bare loops
	$(RUN)/python -m benchmarks.sending $(ARGS)

bench-hearing: install  ## Delivery reports a second that the inbox is done with, on both databases
	$(RUN)/python -m benchmarks.hearing $(ARGS)

bench-health: install  ## How long `duecourse status` takes on a big book, on both databases (ARGS="--contacts 3000000")
	$(RUN)/python -m benchmarks.health $(ARGS)

bench-workers: install  ## One, two and four workers dispatching one book on PostgreSQL: how much faster, and that none overlaps
	$(RUN)/python -m benchmarks.workers $(ARGS)

bench-log: install  ## The log: positions a second, proofs, verification, and its part of a sweep (ARGS="--loans 1m --entries 10m")
	$(RUN)/python -m benchmarks.log $(ARGS)

replay: install  ## A year of the demo's book, and a sweep of a million loans, derived again decision by decision (DAYS=365 LOANS=1000000)
	$(RUN)/python -m benchmarks.replay --days $(or $(DAYS),365) --loans $(REPLAY_LOANS) $(ARGS)

log-mutations: install  ## Ten thousand random wrongs done to a log, and as many to proofs: each is found (half an hour)
	$(RUN)/python -m pytest -n 2 -m slow tests/integration/test_log_mutations.py $(ARGS)

$(BENCH_STAMP): $(STAMP) requirements-bench.txt
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.txt
	@touch $@

style: install  ## ruff, formatting, spelling, YAML
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/codespell
	$(RUN)/yamllint -s .

types: install  ## mypy --strict
	$(RUN)/mypy

layers: install  ## Imports point one way
	$(RUN)/lint-imports

check: style types layers test scenarios  ## Everything CI runs

lock: install  ## Pin and hash the requirements anew
	$(RUN)/python -m pip install --quiet pip-tools
	for f in requirements requirements-dev requirements-bench requirements-spark; do $(RUN)/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe --strip-extras --no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links -o $$f.txt $$f.in; done

clean:       ## Remove what make made
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
