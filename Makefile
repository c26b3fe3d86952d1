# Each target sets up what it needs by itself, in .venv and nowhere else.
#   make run    the main job: a hyperparameter sweep that trains real models on this machine
#   make test   everything that we promise, checked (make check is part of it); with CI=true nothing may be skipped
#   make check  ruff and mypy
#   make bench  everything that we claim, measured
#   make setup  .venv with everything

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SWEEP ?= job_templates/glyphs.yaml
PYTEST_ARGS ?=

.PHONY: run test check bench setup docs clean
.DELETE_ON_ERROR:

run: $(VENV)/.run
	@$(BIN)/orchestrate run $(SWEEP)

test: $(VENV)/.test .emulators/.ready .emulators/.engine check
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(if $(CI),--nothing-skipped) $(PYTEST_ARGS)

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict -p orchestrator

bench: $(VENV)/.test
	$(BIN)/python -m benchmarks

setup: $(VENV)/.test .emulators/.ready .emulators/.engine

docs: $(VENV)/.test
	$(BIN)/python -m orchestrator.spec.reference docs/spec.md

clean:
	rm -rf $(VENV) .emulators

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: orchestrate needs Python 3.11 or newer; name one: make run PYTHON=/usr/bin/python3.12" >&2; exit 1; }
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "make: Python's venv module is missing: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.run: pyproject.toml | $(BIN)/python
	@echo "installing orchestrate and TensorFlow (some minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --config-settings editable_mode=compat --editable '.[tensorflow]'
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	@echo "installing orchestrate with all that its tests need (some minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --config-settings editable_mode=compat --editable '.[all,test,dev]'
	@touch $@ $(VENV)/.run

# Azurite, the emulator of Azure's storage, comes from npm; without npm the tests that need it say so.
.emulators/.ready:
	@mkdir -p .emulators
	@if command -v npm >/dev/null; then \
	  npm install --loglevel error --no-audit --no-fund --prefix .emulators azurite@3.35.0 >/dev/null && touch $@ || \
	    echo "make: npm could not install azurite, so THE TESTS AGAINST AZURE'S STORAGE WILL BE SKIPPED" >&2; \
	else \
	  echo "make: npm is missing, so the tests against Azure's storage will be skipped: apt-get install npm" >&2; \
	fi

# A Docker engine, which the tests start themselves, what makes their base image, a registry to push to, and Spark's Java.
.emulators/.engine:
	@mkdir -p .emulators
	@PATH="$$PATH:/usr/sbin:/sbin"; wanted=""; \
	{ [ -n "$$DOCKER_HOST" ] || [ -S /var/run/docker.sock ] || command -v dockerd >/dev/null; } || wanted="$$wanted docker.io"; \
	command -v debootstrap >/dev/null || wanted="$$wanted debootstrap"; \
	command -v docker-registry >/dev/null || wanted="$$wanted docker-registry"; \
	{ [ -n "$$JAVA_HOME" ] || command -v java >/dev/null; } || wanted="$$wanted default-jre-headless"; \
	if [ -z "$$wanted" ]; then touch $@; exit; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing$$wanted"; \
	  { apt-get update --quiet=2 && DEBIAN_FRONTEND=noninteractive \
	    apt-get install --yes --quiet=2 --no-install-recommends $$wanted >/dev/null; } && touch $@ && exit; \
	fi; \
	echo "make: THE TESTS WITH CONTAINERS AND SPARK WILL BE SKIPPED, ALL OR IN PART: apt-get install$$wanted" >&2
