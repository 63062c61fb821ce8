# The project's verbs. A fresh machine needs python3.11 (or newer), git and make; nothing else is installed outside .venv.

SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SPARK_STAMP := .venv-spark/.installed
export UV_PYTHON_DOWNLOADS := never
export UV_SYSTEM_CERTS := true
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Tests start many processes; one that may not keep what it has compiled takes a second longer to start.
unexport PYTHONDONTWRITEBYTECODE
# How many processes `make test` spreads the tests over: one more than cores, because many wait for other processes.
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$(( n < 2 ? 3 : n > 3 ? 4 : n + 1 )))

.PHONY: help setup test demo check lint types imports docs pages pictures bench requirements format dist clean

help: ## list the verbs
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'

setup: $(STAMP) ## install everything into .venv; quick when nothing has changed

# What is installed is exactly what the files with hashes name. pip takes over where uv can't reach an index that
# only pip is configured for.
$(STAMP): pyproject.toml requirements/dev.txt requirements/uv.txt
	@test -n "$(PYTHON)" || { echo "There is no python3.11 on this machine: install it, or set PYTHON=/path/to/it."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than 3.11: set PYTHON=/path/to/python3.11."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/uv.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt || \
		{ echo "uv could not reach its index; pip tries with its own settings."; \
		$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt; }
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

test: setup ## run all tests
	$(BIN)/pytest -n $(WORKERS) --max-worker-restart 0

spark: $(SPARK_STAMP) ## try the import with Spark; needs Java 17, and installs Spark into .venv-spark
	.venv-spark/bin/pytest tests/spark

$(SPARK_STAMP): $(STAMP) requirements/spark.txt
	@test -x .venv-spark/bin/python || $(PYTHON) -m venv .venv-spark
	$(BIN)/uv pip install --quiet --python .venv-spark/bin/python --require-hashes -r requirements/dev.txt -r requirements/spark.txt
	$(BIN)/uv pip install --quiet --python .venv-spark/bin/python --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## see it work: sandbox, traffic, bridge and console, on this machine alone
	$(BIN)/flybridge demo

check: lint types imports docs ## what has to hold before a commit, beside the tests

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy
	$(BIN)/mypy docs/examples

imports: setup
	$(BIN)/lint-imports --no-cache

docs: setup ## check that the docs say what the code does
	$(BIN)/pytest tests/docs

pages: setup ## print the tables of the reference pages from the code
	$(BIN)/python -m flybridge.insight.page docs/reference/performance.md
	$(BIN)/python -m flybridge.insight.differences_page docs/reference/differences.md
	$(BIN)/python -m flybridge.config.page docs/reference/config.md
	$(BIN)/python -m flybridge.mapping.to_amplitude.page docs/reference/mapping.md
	$(BIN)/python -m flybridge.mapping.to_appsflyer.page docs/reference/mapping-to-appsflyer.md

pictures: setup ## take the pictures of the documentation; needs Chromium
	$(BIN)/python tests/browser/pictures.py

format: setup ## put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## measure on this machine
	@set -e; for script in bench/[!_]*.py; do echo "== $$script"; $(BIN)/python $$script; done

# The files carry hashes and no address of an index, so that they work with any.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links

requirements: setup ## resolve the dependencies anew, and write them down with hashes
	$(COMPILE) --upgrade pyproject.toml --extra cluster --extra history --extra parquet -o requirements/run.txt
	$(COMPILE) --upgrade pyproject.toml --extra cluster --extra history --extra parquet --group dev -c requirements/run.txt -o requirements/dev.txt
	$(COMPILE) --upgrade --group spark -c requirements/dev.txt -o requirements/spark.txt
	echo hatchling | $(COMPILE) -c requirements/dev.txt - -o requirements/build.txt
	echo uv | $(COMPILE) --upgrade - -o requirements/uv.txt

dist: setup ## build the source archive and the wheel from what is committed, and nothing else
	rm -rf dist && mkdir -p dist/tree && git archive HEAD | tar -x -C dist/tree
	cd dist/tree && $(abspath $(BIN))/hatchling build --directory ..
	rm -rf dist/tree

clean: ## remove what tools left behind, but not .venv and no data
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
