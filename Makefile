# make run: set up and run the default campaign. make test: set up and run all tests.
# Where the environment stands and its two files are unchanged, nothing is installed again.

PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
# Two processes of one thread each are faster than one of two.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

.DEFAULT_GOAL := help
.PHONY: help run test check clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

run: $(READY)  ## design factor Xa inhibitors: configs/factor_xa.yaml
	$(BIN)/molgen run configs/factor_xa.yaml

test: $(READY)  ## run the whole test suite
	$(PYTEST)

check: $(READY)  ## lint, types and tests, as in continuous integration
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST)

clean:  ## remove the environment and all caches; run folders stay
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
