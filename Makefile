# Every target sets up what it needs first (scripts/setup.sh); the second time that takes under a second.
# ARGS goes to the program: make test ARGS="-k quickstart", make serve ARGS="--port 9000".

SHELL := /bin/bash
PYTHON := .venv/bin/python
# A client's own variables are none of ours: nothing that is started here sees them.
CLEAN := env $(shell env | sed -n 's/^\(ANTHROPIC_[A-Za-z0-9_]*\)=.*/-u \1/p')
ARGS ?=

.PHONY: help setup setup-tests demo serve test test-llama soak bench bench-peers test-cgroup2 lint lock image clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: ## system packages, virtual environment, sandbox image
	@scripts/setup.sh

setup-tests:
	@scripts/setup.sh --tests

demo: setup ## see it work: a server, the official client, five things checked
	@$(CLEAN) $(PYTHON) -m codecove.demo $(ARGS)

serve: setup ## run the server; its settings are COVE_* variables
	@exec $(CLEAN) .venv/bin/cove serve $(ARGS)

# A file of tests goes to one worker as a whole, in the order of tests/conftest.py. The tests wait half of their time,
# so three share two cores well.
test: setup-tests ## all tests but the long ones and those with a real model
	@$(CLEAN) $(PYTHON) -m pytest -m "not soak" -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

test-llama: setup-tests ## the tests with a real local model; downloads 160 MB the first time
	@$(CLEAN) $(PYTHON) -m pytest -m llama tests/messages $(ARGS)

test-cgroup2: setup-tests ## the sandbox under control groups of version 2, in an emulated machine; takes long
	@scripts/vm.sh scripts/vm-tests.sh $(ARGS)

soak: setup-tests ## the long tests: storms, soaks, load
	@$(CLEAN) $(PYTHON) -m pytest -m soak --timeout 0 $(ARGS)

bench: setup ## how fast it is: the sandbox, what streaming through the server adds, batches
	@$(CLEAN) $(PYTHON) bench/sandbox.py $(ARGS)
	@$(CLEAN) $(PYTHON) bench/streaming.py
	@$(CLEAN) $(PYTHON) bench/batches.py

bench-peers: setup ## install the other products that the sandbox is measured beside, in .cache/bench
	@scripts/peers.sh

lint: setup-tests ## ruff and mypy
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy

lock: setup ## write the locks again, with the newest versions allowed
	@scripts/lock.sh

image: setup ## build the sandbox image, and use everything in it once
	@.venv/bin/cove image build
	@.venv/bin/cove image test

clean: ## remove what the targets made here; the sandbox images stay
	rm -rf .venv .cache build dist demo-output .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
