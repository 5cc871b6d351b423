# The commands of the README. What they do lives in Python; this file only makes sure that Python is there.

VENV := .venv
BIN := $(VENV)/bin
# A shell in which a failed step ends the recipe.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

.PHONY: help setup demo demo-stop rehearse rehearse-cloud rehearse-arm test test-kernels test-arm test-hosts check e2e schema bench-kernels mutate-kernels clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-12s %s\n", $$1, $$2 }'

setup: $(VENV)/.complete ## make the operator's environment

$(VENV)/.complete: build/setup.sh pyproject.toml constraints.txt
	@bash build/setup.sh $(VENV)
	@touch $@

demo: setup ## serve four models on this computer and ask one a question
	@$(BIN)/fab demo

demo-stop: setup ## end everything that the demo started
	@$(BIN)/fab stop

rehearse: setup ## the whole way on this computer, as root: up, deploy over SSH with real vLLM, idle stop, destroy, census
	@$(BIN)/fab demo.prepare
	@$(BIN)/python -m tests.rehearse

rehearse-cloud: setup ## the prod stack's life with the real Pulumi CLI on a cloud of our own: up, change, destroy, census
	@$(BIN)/python -m tests.rehearse_cloud

rehearse-arm: setup ## a deployment with real materials to an emulated arm64 host, as root on x86-64; an hour
	@$(BIN)/python -m tests.rehearse_arm

test: setup check e2e ## every check, the end-to-end test with real vLLM included

check: setup ## format, lint, types, and all tests that need no engine
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -m "not engine and not kernels and not arm and not hosts"

e2e: setup ## the end-to-end tests with real vLLM (the first time it builds the engine environment)
	$(BIN)/fab demo.prepare
	$(BIN)/pytest -m engine

test-kernels: setup ## the kernels: C++ natively, sanitized and emulated, then the wheel inside real vLLM
	bash kernels/run-tests.sh
	bash kernels/packages.sh llvm-19
	$(BIN)/fab demo.prepare
	$(BIN)/pytest -m kernels

test-arm: setup ## real vLLM for aarch64 with our kernels, emulated: needs root, on x86-64; a quarter of an hour
	$(BIN)/fab demo.prepare
	$(BIN)/pytest -m arm

test-hosts: setup ## deployments over SSH onto systemd hosts of our own, x86-64 and emulated arm64: needs root
	$(BIN)/fab demo.prepare
	$(BIN)/pytest -m hosts

schema: setup ## write the JSON schema that editors complete models.yaml with
	$(BIN)/python -m deployment.schema > docs/models.schema.json

bench-kernels: setup ## model the kernels' cycles on Neoverse V2, and compare with the baseline
	@$(BIN)/python -m kernels.model.bench --check kernels/bench/baseline.json

mutate-kernels: setup ## break the kernels in many small ways, one at a time: some test must notice each
	@$(BIN)/python -m kernels.mutation.run

clean: ## remove environments, models and state of this checkout (stop the demo first)
	rm -rf out $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
