# Each target installs what it needs. Required: git, make and Python 3.10 or later with venv.
PYTHON ?= python3
# A second Python beside the first: make test PYTHON=python3.10 VENV_DIR=.venv-3.10
VENV_DIR ?= .venv
export VENV_DIR
VENV = $(VENV_DIR)/bin

.PHONY: help dev run run-scf serve test test-function test-all screenshots package deploy lint lock env-example audit fuzz mutants bench bench-check
.DEFAULT_GOAL := help

help:
	@echo 'make run     run the bridge on 127.0.0.1:9000 and an emulator of the API on 127.0.0.1:9010'
	@echo 'make run-scf run the same with the built zip, as SCF does (SHAPE=web or SHAPE=event)'
	@echo 'make dev     create .venv with the packages for development, such as pytest, ruff and mypy'
	@echo 'make serve   run only the bridge, against the real API, with the settings in the environment'
	@echo 'make test    run the test suite'
	@echo 'make test-all run the test suite and the slow tests, such as those with other languages and servers'
	@echo 'make test-function run only the tests of function/'
	@echo 'make screenshots take the pictures of the console in docs/images/, with Chromium'
	@echo 'make package build build/function/ and build/function.zip for SCF'
	@echo 'make deploy  build the zip and deploy it to SCF as serverless.yml describes (see docs/guides/deploy.md)'
	@echo 'make lint    run ruff and mypy, and check the direction of imports, spelling and wording'
	@echo 'make lock    update the two lock files from pyproject.toml'
	@echo 'make env-example write .env.example from the settings'
	@echo 'make audit   report known vulnerabilities of the packages in the lock files'
	@echo 'make fuzz    search with Atheris for inputs that break an invariant (TARGETS=…, SECONDS=120 each)'
	@echo 'make mutants check that tests fail for each small change of the most important modules'
	@echo 'make bench   run all benchmarks and write docs/explanation/performance.md (bench-check: fail if a figure is worse than its limit)'

dev:
	@$(PYTHON) tools/venv.py --dev

run:
	@$(PYTHON) tools/venv.py
	@$(VENV)/signup-bridge run

# SHAPE=event runs it as an event function.
SHAPE ?= web
run-scf: package
	@$(VENV)/signup-bridge run --scf $(SHAPE)

serve:
	@$(PYTHON) tools/venv.py
	@exec $(VENV)/signup-bridge serve

# With this variable, each of the many processes would compile every module that it imports.
unexport PYTHONDONTWRITEBYTECODE

# With CI=true, the tests must cover every branch of function/. Measuring the coverage takes 50 % more time, so that the
# tests of the other packages, of the documents and of the project run separately, without it.
PYTEST = $(VENV)/python -m pytest -m 'not toolchain'
BESIDE = $(addprefix tests/,bench docs project signup_deploy signup_emulator signup_toolkit)
COVERED = $(if $(CI),-n 4 --cov --cov-report=term-missing:skip-covered --cov-fail-under=100,-n 6)
ifeq ($(CI),)
test:
	@$(PYTHON) tools/venv.py --dev
	@$(PYTEST) -n 6
else
test: test-function
	@$(PYTEST) -n 6 $(BESIDE)
endif

test-function:
	@$(PYTHON) tools/venv.py --dev
	@$(PYTEST) $(BESIDE:%=--ignore=%) $(COVERED)

test-all: test
	@$(VENV)/python -m pytest -m toolchain -n 2

screenshots:
	@$(PYTHON) tools/venv.py --dev
	@PYTHONPATH=function:. $(VENV)/python tests/support/emulator/screenshots.py

package:
	@$(PYTHON) tools/venv.py
	@$(VENV)/signup-bridge package

deploy:
	@$(PYTHON) tools/venv.py
	@$(VENV)/signup-bridge deploy

lint:
	@$(PYTHON) tools/venv.py --dev
	@$(VENV)/ruff check
	@$(VENV)/ruff format --check
	@$(VENV)/mypy
	@env PYTHONPATH=function $(VENV)/lint-imports --no-cache --no-logo
	@$(VENV)/codespell
	@$(VENV)/python tools/wording.py

# With the hashes of every platform's files, one lock is valid on a laptop and on SCF.
# UPGRADE=--upgrade upgrades all packages; UPGRADE='--upgrade-package NAME' upgrades one.
LOCK = $(VENV)/uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-annotate --custom-compile-command 'make lock' $(UPGRADE)
lock:
	@$(PYTHON) tools/venv.py --dev
	@$(LOCK) pyproject.toml -o requirements.txt
	@$(LOCK) pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt

env-example:
	@$(PYTHON) tools/venv.py
	@$(VENV)/python tools/env_example.py

audit:
	@$(PYTHON) tools/venv.py --dev
	@$(VENV)/python tools/audit.py

# tests/README.md describes fuzzing and mutants.
TARGETS ?= signatures payload events
SECONDS ?= 120
fuzz:
	@$(PYTHON) tools/venv.py --dev
	@for target in $(TARGETS); do PYTHONPATH=function:. $(VENV)/python -m tests.fuzz $$target --seconds $(SECONDS) || exit 1; done

mutants:
	@$(PYTHON) tools/venv.py --dev
	@PYTHONPATH=function:. $(VENV)/python -m tests.mutants $(MODULES)

# docs/explanation/performance.md describes the benchmarks. Run nothing else on the machine.
bench bench-check: BENCH = PYTHONPATH=function:. $(VENV)/python -m bench
bench:
	@$(PYTHON) tools/venv.py --dev
	@$(BENCH)

bench-check:
	@$(PYTHON) tools/venv.py --dev
	@$(BENCH) --check
