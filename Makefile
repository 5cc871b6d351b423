# The commands of the README. Python code does the work; this file only makes sure that Python is there.

VENV := .venv
BIN := $(VENV)/bin
# A shell in which a failed step ends the recipe.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

# Several targets on one command line run in that order.
.NOTPARALLEL:
# Records which tests ran; `left-out` reads it.
REPORT = --junit-xml=out/reports/$@.xml

.PHONY: help setup bench-gateway chaos-gateway demo demo-stop rehearse rehearse-cloud rehearse-arm rehearse-source test test-fresh test-kernels test-arm test-clients test-hosts check e2e left-out nothing-left-out release kernels-cpp schema bench-kernels mutate-kernels clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-16s %s\n", $$1, $$2 }'

# Packages and tools of a target: installed where that is allowed, else listed in one message before anything starts.
NEEDS := needs-demo needs-check needs-test needs-gate needs-kernels needs-clients needs-hosts needs-fresh
NEEDS += needs-rehearsal needs-rehearsal-cloud needs-rehearsal-arm needs-rehearsal-source
.PHONY: $(NEEDS)
$(NEEDS): needs-%:
	@python=$$(bash build/python.sh) && "$$python" -m tests.support.requirements $*

setup: $(VENV)/.complete ## create the operator's environment, .venv

$(VENV)/.complete: build/setup.sh build/python.sh pyproject.toml constraints.txt
	@bash build/setup.sh $(VENV)
	@touch $@

demo: needs-demo setup ## serve four models on this computer and ask one a question
	@$(BIN)/fab demo

demo-stop: setup ## stop everything that the demo started
	@$(BIN)/fab stop

rehearse: needs-rehearsal setup ## the README's cloud commands on this computer, as root: up, deploy over SSH with real vLLM, idle stop, destroy, census
	@$(BIN)/fab demo.prepare
	@$(BIN)/python -m tests.support.rehearse

rehearse-cloud: needs-rehearsal-cloud setup ## the prod stack's life with the real Pulumi CLI on a stand-in cloud: up, change, destroy, census
	@$(BIN)/python -m tests.support.rehearse_cloud

rehearse-arm: needs-rehearsal-arm setup ## a deployment with real wheels to an emulated arm64 host, as root on x86-64: an hour
	@$(BIN)/fab demo.prepare
	@$(BIN)/python -m tests.support.rehearse_arm

rehearse-source: needs-rehearsal-source setup ## vLLM compiled for Arm from real sources in AXION_MIRROR, emulated, as root: hours
	@$(BIN)/python -m tests.support.rehearse_source --check
	@env --unset=AXION_MIRROR $(BIN)/fab demo.prepare
	@$(BIN)/python -m tests.support.rehearse_source

test: needs-test setup check e2e left-out ## every check, including the end-to-end tests with real vLLM

test-fresh: needs-fresh setup ## `make demo` and `make test` on a Debian that has only git, make and Python: needs root, on x86-64
	@$(BIN)/python -m tests.support.fresh

left-out: setup # say how many tests of the last run were skipped, and why
	@$(BIN)/python -m tests.support.requirements.left_out

nothing-left-out: setup # the same, and fail if there are any
	@$(BIN)/python -m tests.support.requirements.left_out --none

check: needs-check setup ## format, lint, types, and all tests that need no engine
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	temp=/tmp/ax$$$$ && mkdir --mode 700 "$$temp" && trap 'rm -rf "$$temp"' EXIT && \
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --basetemp "$$temp" $(REPORT) \
	  -m "not engine and not kernels and not arm and not hosts and not javascript"

e2e: needs-test setup ## the end-to-end tests with real vLLM (the first run builds the engine environment)
	$(BIN)/fab demo.prepare
	$(BIN)/pytest -m engine $(REPORT)

kernels-cpp: needs-kernels ## the kernels' C++ tests, natively and emulated
	bash kernels/run-tests.sh native axion

test-kernels: needs-kernels setup ## the kernels: C++ natively, sanitized and emulated, then the wheel inside real vLLM
	bash kernels/run-tests.sh
	$(BIN)/fab demo.prepare
	$(BIN)/pytest -m kernels

test-arm: setup ## real vLLM for aarch64 with our kernels, emulated: needs root, on x86-64; a quarter of an hour
	$(BIN)/fab demo.prepare
	$(BIN)/pytest -m arm

test-clients: needs-clients setup ## the clients of OpenAI's, Anthropic's and Ollama's APIs in JavaScript, fetched by npm
	$(BIN)/pytest -m javascript

test-hosts: needs-hosts setup ## deployments over SSH onto systemd hosts of our own, x86-64 and emulated arm64: needs root
	$(BIN)/fab demo.prepare
	temp=/tmp/axh$$$$ && mkdir --mode 700 "$$temp" && trap 'rm -rf "$$temp"' EXIT && \
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --basetemp "$$temp" -m hosts

schema: setup ## generate the JSON schema of models.yaml, docs/configuration.md and docs/openapi.json
	$(BIN)/python -m deployment.models.schema > docs/models.schema.json
	$(BIN)/python -m deployment.reference > docs/configuration.md
	$(BIN)/python -m gateway.openapi > docs/openapi.json

ROUTERS = out/tools/routers

bench-gateway: setup ## the gateway beside SMG, vllm-router and nginx (where it is installed), on this computer: minutes
	@test -x $(ROUTERS)/bin/smg || { $(BIN)/python -m venv $(ROUTERS) && $(ROUTERS)/bin/pip install --quiet --requirement bench/routers.txt; }
	@$(BIN)/fab demo.prepare
	@$(BIN)/python -m bench.gateways

chaos-gateway: setup ## 10,000 streams through the gateway while engines are killed and stopped, clients leave and it reloads: minutes
	@$(BIN)/python -m bench.gateway_chaos

bench-kernels: needs-kernels setup ## model the kernels' cycles on Neoverse V2 and compare them with the baseline
	@$(BIN)/python -m kernels.model.bench --check kernels/bench/baseline.json

mutate-kernels: setup ## break the kernels in many small ways, one at a time: some test must fail each time
	@$(BIN)/python -m kernels.mutation.run

release: setup ## release a version, as in `make release VERSION=1.2.3`: the gate, changelog, tag, bill of materials; pushes nothing
	@$(BIN)/python -m publishing "$(VERSION)"

clean: ## remove the environments, models and state of this checkout (stop the demo first)
	rm -rf out $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
