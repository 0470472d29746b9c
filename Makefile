# Each target sets up .venv by itself on a machine that has python3 with venv.
PYTHON ?= python3
BIN := .venv/bin

# What a shell may have set for another Python; from where pip takes packages stays the user's choice.
unexport PYTHONHOME PYTHONPATH PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_PYTHON
unexport PIP_CONSTRAINT PIP_DRY_RUN PIP_NO_BUILD_ISOLATION PIP_NO_DEPS PIP_REQUIRE_HASHES

# Tests at a time. Each slow one starts several processes and has time limits, so two are enough for two cores.
JOBS ?= 2
SLOW_JOBS ?= 2

.PHONY: quickstart test check fast lint style types site clean stale

quickstart: .venv/installed
	$(BIN)/esbn run quickstart
	$(BIN)/esbn table quickstart
	$(BIN)/esbn figures quickstart

test: check
	$(BIN)/python -m pytest -m "slow and not alone" -n $(SLOW_JOBS) --dist loadscope
	$(BIN)/python -m pytest -m alone

check: style
	$(MAKE) --no-print-directory --jobs 2 types fast

fast: .venv/installed
	$(BIN)/python -m pytest -m "not slow" -n $(JOBS) --dist loadfile

lint: style types

style: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/installed
	$(BIN)/pyright

site: .venv/site
	rm -rf build/pages build/site
	mkdir -p build/pages
	cp -R README.md CONTRIBUTING.md cluster.yaml docs build/pages
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.venv/site: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-user -c constraints.txt -e '.[docs]'
	touch $@

clean:
	rm -rf .venv build *.egg-info

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-user -c constraints.txt -e '.[dev]'
	touch $@

# The paths in .venv are those of the checkout that it was made in: one that was moved or copied gets another.
ifneq ($(shell $(BIN)/python -c '' 2>&1 && grep -qF "$$(pwd -P)/$(BIN)/" $(BIN)/esbn && echo whole),whole)
.venv/installed: stale
endif

stale:
	rm -rf .venv
