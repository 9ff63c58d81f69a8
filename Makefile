# make demo   the night on this machine: needs Linux, Python 3.11+ and make, nothing else
# make test   what CI runs
# make bench  how fast, how true and how small, beside other tools (docs/benchmarks.md)

# The first interpreter that is new enough; name another one with PYTHON=...
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$p"; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
# Most tests wait for a server, a timer or a fault: more processes than cores.
TEST_PROCESSES ?= $(shell echo $$(($$(nproc) + 1)))
# More words for `warroom demo`, such as ARGS="--lang en --fault firewall_block"
ARGS ?=
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test lab bench lint format wheel clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.run-installed ## the night on loopback: a console, two regions, real agents, a fault
	@$(BIN)/warroom demo $(ARGS)

test: $(VENV)/.dev-installed ## lint, types, import contracts and every test; says what was skipped and why
	@failed=; \
	$(BIN)/ruff check bot tests || failed="$$failed lint"; \
	$(BIN)/ruff format --check bot tests || failed="$$failed format"; \
	$(BIN)/mypy || failed="$$failed types"; \
	$(BIN)/lint-imports || failed="$$failed import-contracts"; \
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder -m "not alone" $(ARGS); side=$$?; \
	$(BIN)/python -m pytest -m alone $(ARGS); alone=$$?; \
	case "$$side $$alone" in "0 0" | "0 5" | "5 0") ;; *) failed="$$failed tests" ;; esac; \
	test -z "$$failed" || { echo "make test: failed:$$failed" >&2; exit 1; }

bench: $(VENV)/.dev-installed ## every benchmark beside its peer: one table, and bench.json; needs root the first time
	@tests/bench/setup.sh
	@PATH="$$PATH:/usr/local/sbin:/usr/sbin:/sbin" $(BIN)/python -m tests.bench $(ARGS)

lab: $(VENV)/.dev-installed ## every scenario on real networks, and the score; needs root, nft and unbound
	@$(BIN)/warroom lab run tests/lab/scenarios/*.yaml --keep-going $(ARGS)

faults: $(VENV)/.dev-installed ## a thousand kills of real bots, and the table of invariants (docs/faults.md)
	@$(BIN)/python -m tests.faults --kills 1000 $(ARGS)

faults-long: $(VENV)/.dev-installed ## ten thousand, resumable
	@$(BIN)/python -m tests.faults --kills 10000 --state .faults.json $(ARGS)

lint: $(VENV)/.dev-installed ## ruff, mypy and the import contracts
	$(BIN)/ruff check bot tests
	$(BIN)/ruff format --check bot tests
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev-installed ## rewrite the code in the house format
	$(BIN)/ruff check --fix bot tests
	$(BIN)/ruff format bot tests

wheel: $(BIN)/python ## dist/warroom_bot-*.whl
	rm -rf dist
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	@ls dist

clean: ## remove the virtual environment and everything that was built
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find bot tests migrations -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps make the second start quick: pip runs again only when what we depend on has changed.
$(VENV)/.run-installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV) (once; a minute or two) ..."
	@$(PIP_INSTALL) --editable '.[agent]'
	@touch $@

$(VENV)/.dev-installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV) with the development tools (once; a minute or two) ..."
	@$(PIP_INSTALL) --editable '.[agent,dev]'
	@touch $@ $(VENV)/.run-installed

$(BIN)/python:
	@test -n '$(PYTHON)' || { \
		echo 'Warroom needs Python 3.11 or newer, and none is on the PATH; install one, or: make demo PYTHON=/path/to/python3.11' >&2; \
		exit 1; }
	@'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'Warroom needs Python 3.11 or newer; $(PYTHON) is not. Try: make demo PYTHON=/path/to/python3.11' >&2; \
		exit 1; }
	@'$(PYTHON)' -c 'import ensurepip, venv' 2>/dev/null || { \
		echo 'The venv module of $(PYTHON) is missing; on Debian and Ubuntu: apt-get install python3-venv' >&2; \
		exit 1; }
	@'$(PYTHON)' -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
