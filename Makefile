# The commands of this project. `make run` and `make test` need a python3 and nothing else.

.DEFAULT_GOAL := help
.PHONY: help run test lint bench soak backup
PYTHON := .venv/bin/python
ARGS ?=
# Kept compiled modules halve the time that each process takes to start.
unexport PYTHONDONTWRITEBYTECODE

help:            ## list the commands
	@sed -n 's/^\([a-z]*\): .*## /make \1\t/p' Makefile | expand -t 16

run:             ## install what is missing, then start Watchkeeper
	@.ci/venv
	@$(PYTHON) manage.py up

test:            ## run the tests on SQLite (ARGS="tests/core -k name" for some of them)
	@.ci/venv tests/requirements.txt
	@$(PYTHON) -m pytest -n 4 $(ARGS)

lint:            ## ruff, mypy, missing migrations, the OpenAPI schema
	@.ci/venv tests/requirements.txt
	@.ci/lint

bench:           ## measure the figures of docs/benchmarks.md (heavy)
	@.ci/venv tests/requirements.txt
	@$(PYTHON) -m tests.benchmarks $(ARGS)

soak:            ## kill parts of the product at a thousand random points (long; ARGS="--kills 100")
	@.ci/venv tests/requirements.txt
	@$(PYTHON) -m tests.soak $(ARGS)

backup:          ## copy all data but the keys into FILE, while it runs
	@.ci/venv
	@$(PYTHON) manage.py backup $(or $(FILE),watchkeeper-$(shell date +%Y%m%d-%H%M%S).backup)
