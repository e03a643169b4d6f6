# `make` alone lists what there is. Needs: python3 >= 3.11 with venv, make, git.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

SITE ?=
SECONDS ?=
TESTS ?=
# System tests start several processes each: more workers than cores only make them wait.
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 1); [ $$n -gt 2 ] && n=2; echo $$n)

python := .venv/bin/python
sources := pyproject.toml tools/bootstrap

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | sort | while IFS='|' read -r name text; do printf '%-12s  %s\n' "$$name" "$$text"; done

.venv/.core: requirements/core.txt requirements/build.txt $(sources)
	@tools/bootstrap core
	@touch $@

.venv/.dev: requirements/dev.txt $(sources)
	@tools/bootstrap dev
	@touch $@

# a site with radios needs the extras of its bridges
radio = $(if $(SITE),$(shell grep -lsE 'type: *(zigbee|lorawan)' "$(SITE)"))

.venv/.radio: .venv/.core requirements/zigbee.txt requirements/lorawan.txt
	@tools/bootstrap radio
	@touch $@

.PHONY: demo
demo: .venv/.core $(if $(radio),.venv/.radio) ## run the service on a digital twin: make demo [SITE=site.yaml] [SECONDS=60]
	@$(python) -m mimctl demo $(if $(SECONDS),--seconds "$(SECONDS)") $(if $(SITE),"$(SITE)")

.PHONY: test
test: check ## every check and every test: make test [TESTS=tests/unit/cli] [WORKERS=2]
	@$(python) -m pytest -n $(WORKERS) --dist loadfile --durations 15 $(TESTS)

.PHONY: check
check: .venv/.dev ## style, types, floors, lock files
	@tools/check

.PHONY: bench
bench: .venv/.dev ## the benchmarks, one after the other
	@set -e; for file in tools/bench/[a-z]*.py; do echo "== $$file"; $(python) "$$file"; done

.PHONY: docs
docs: .venv/.dev ## write docs/reference from the code
	@$(python) tools/generate_docs.py

# uv reads the same files as pip and writes no index address; pip-compile writes the ones of this machine.
compile := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

.PHONY: lock
lock: ## pin requirements/*.txt anew from requirements/*.in (needs uv)
	@command -v uv >/dev/null || { echo "mimctl: make lock needs uv: pipx install uv" >&2; exit 1; }
	$(compile) --upgrade requirements/dev.in -o requirements/dev.txt
	$(compile) -c requirements/dev.txt requirements/core.in -o requirements/core.txt
	$(compile) -c requirements/dev.txt requirements/build.in -o requirements/build.txt
	$(compile) -c requirements/dev.txt requirements/lorawan.in -o requirements/lorawan.txt
	$(compile) -c requirements/dev.txt requirements/zigbee.in -o requirements/zigbee.txt

.PHONY: clean
clean: ## remove .venv and everything that was built
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
