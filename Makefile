# `make run` starts a node, `make test` checks everything, `make help` tells the rest.
# All that is needed beforehand is make and Python 3.11 or newer.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# These two files say that the environment is complete; only a changed list of what to install
# makes it be looked at again, so a later `make run` starts at once.
READY := $(VENV)/.ready
DEV_READY := $(VENV)/.dev-ready

# The person's own words reach the node through the environment and are quoted by the shell.
# `value` keeps make from expanding a dollar in them.
override PORT := $(value PORT)
override TEAM := $(value TEAM)
override STATE := $(value STATE)
override SEEDS := $(value SEEDS)
override FIRST := $(value FIRST)
export PORT TEAM STATE SEEDS FIRST

# Where make knows how, what each of the two prints stays together.
TWO_AT_A_TIME := --no-print-directory --jobs=2 \
    $(if $(filter output-sync,$(.FEATURES)),--output-sync)

.PHONY: help run test lint types unit end-to-end other-tests packaging changelog bench simulate
.PHONY: docs clean
.DELETE_ON_ERROR:

help: ## list what can be made
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' Makefile | expand -t 20
	@echo '  `make run` takes PORT=7070 TEAM="My name" STATE=folder, all optional.'
	@echo '  Every target takes PYTHON=python3.12 to choose the Python of $(VENV).'

run: $(READY) ## start a node
	@exec $(BIN)/twistd -n p2pchat \
	    $${PORT:+"--port=$$PORT"} $${TEAM:+"--team=$$TEAM"} $${STATE:+"--state=$$STATE"}

test: lint types unit packaging changelog ## check everything
	@echo 'Everything passed.'

lint: $(DEV_READY) ## check style, spelling and layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell
	$(BIN)/lint-imports

types: $(DEV_READY) ## check types
	$(BIN)/mypy

# One half mostly waits for processes and the other computes, so each has time for the other.
unit: $(DEV_READY) ## run all tests and measure what they reach
	$(BIN)/coverage erase
	@echo 'Running two halves of the tests at one time; each is shown when it is done ...'
	@$(MAKE) $(TWO_AT_A_TIME) end-to-end other-tests
	$(BIN)/coverage run -m pytest -m alone
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	$(BIN)/coverage report --include='twistedchat/core/*' --fail-under=100

end-to-end: $(DEV_READY)
	$(BIN)/coverage run -m pytest -m 'not alone' tests/test_*end_to_end*.py

other-tests: $(DEV_READY)
	$(BIN)/coverage run -m pytest -m 'not alone' --ignore-glob='*/test_*end_to_end*.py'

packaging: $(DEV_READY) ## install and uninstall it in every way
	$(BIN)/python tests/packaging_check.py

changelog: $(DEV_READY) ## show what the next release will say
	$(BIN)/towncrier build --draft

bench: $(DEV_READY) ## measure speed
	$(BIN)/python -m benchmarks

simulate: $(READY) ## try SEEDS=10000 lives of nodes, of which `make test` tries 300
	$(BIN)/python -m twistedchat.simulator "$${SEEDS:-10000}" "$${FIRST:-0}"

docs: $(DEV_READY) ## render the documentation of the code to build/apidocs
	$(BIN)/pydoctor

clean: ## remove everything that make and the tests have made
	rm -rf $(VENV) build dist *.egg-info twisted/plugins/dropin.cache _trial_temp*
	rm -rf .coverage .coverage.* htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -rf .import_linter_cache twistd.pid twistd.log*
	find benchmarks tests twisted twistedchat -name __pycache__ -prune -exec rm -rf {} +

$(READY): requirements.txt pyproject.toml setup.py | $(BIN)/pip
	@echo 'Installing what a node needs into $(VENV) (once) ...'
	@$(PIP) install -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(DEV_READY): requirements-dev.txt $(READY)
	@echo 'Installing what the checks need into $(VENV) (once) ...'
	@$(PIP) install -r requirements-dev.txt
	@touch $@

# A half-made environment is removed, or the next run would take it for a whole one.
$(BIN)/pip:
	@command -v "$(PYTHON)" >/dev/null || { \
	    echo 'There is no $(PYTHON). Install Python 3.11 or newer, or say PYTHON=...' >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo '$(PYTHON) is too old: Python 3.11 or newer is needed. Choose one with PYTHON=...' >&2; \
	    exit 1; }
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); \
	    echo '$(PYTHON) cannot make a virtual environment. Some systems keep that in a package' >&2; \
	    echo 'of its own: on Debian and Ubuntu it is python3-venv.' >&2; exit 1; }
