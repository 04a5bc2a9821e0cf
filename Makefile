# Everything sets itself up: `make demo` and `make test` work in a fresh clone.
VENV ?= .venv
ARGS ?=
# Processes that run tests; what shares a queue or a vendor is kept in one of them (xdist_group).
TEST_WORKERS ?= 2
export VENV

.PHONY: help setup demo test check clean

help:
	@echo "make demo    the whole system on real engines, with a live display (ARGS='--json FILE' for machines)"
	@echo "make test    every test (ARGS='-k name' for some)"
	@echo "make check   lint, format, types, import directions, and every test: what CI runs"
	@echo "make setup   only make everything ready"
	@echo "make clean   stop the local stack and remove everything that was made here"

setup:
	@sh scripts/bootstrap.sh

demo: setup
	@"$(VENV)/bin/stirbeat" demo $(ARGS)

test:
	@sh scripts/bootstrap.sh --for-tests
	@"$(VENV)/bin/python" -m pytest -n $(TEST_WORKERS) --dist loadgroup $(ARGS)

check:
	@sh scripts/bootstrap.sh --for-tests
	"$(VENV)/bin/ruff" check .
	"$(VENV)/bin/ruff" format --check .
	"$(VENV)/bin/mypy" --strict stirbeat
	"$(VENV)/bin/lint-imports" --no-cache
	@$(MAKE) --no-print-directory test

clean:
	@if [ -x "$(VENV)/bin/stirbeat" ] && [ -d .stirbeat ]; then "$(VENV)/bin/stirbeat" local down; fi
	rm -rf "$(VENV)" .stirbeat .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache \
		stirbeat.egg-info build dbt/target dbt/logs
