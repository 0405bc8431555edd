# casework: targets for people. How things are compiled and linked is in mk/build.mk, which is called once
# the packages it needs are known to be there.

MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := all

# One at a time: flavours share the generated code, and two terminals may share the folder.
BUILD = mkdir -p build && flock --close build/.lock $(MAKE) -f mk/build.mk

include mk/test.mk
include mk/lint.mk
include mk/bench.mk

.PHONY: help
help: ## list every target
	@awk -f scripts/help.awk $(MAKEFILE_LIST)

.PHONY: all
all: deps-build ## build every library, service and tool into build/ (the default)
	+@$(BUILD) programs

.PHONY: run
run: deps-run all ## build, then run everything on this machine and show it; ARGS="…" goes to `casework up`
	@build/bin/casework up --tour $(ARGS)

.PHONY: image
image: ## build the container image casework:latest (docker or podman)
	@engine=$$(command -v docker || command -v podman) || { echo "image: neither docker nor podman here" >&2; exit 1; }; \
	"$$engine" build -t casework:latest .

.PHONY: compose
compose: deps-compose ## start docker-compose.yml for real and tour it (root; builds stand-in images where none are there)
	@tests/compose/run.sh

.PHONY: deps
deps: ## install every Debian package that build, run, tests, lint and benchmarks need
	@scripts/install-deps build run test lint bench

# One section each, checked before the targets that need it; a few milliseconds when nothing is missing.
# A target's list is checked as a whole, one after the other: apt-get takes no second caller.
.PHONY: deps-build deps-run deps-test deps-lint deps-bench deps-compose
deps-build:
	@scripts/install-deps build
deps-run: deps-build
	@scripts/install-deps run
deps-test: deps-run
	@scripts/install-deps test
deps-lint: deps-test
	@scripts/install-deps lint
deps-bench: deps-test
	@scripts/install-deps bench
deps-compose:
	@scripts/install-deps compose

.PHONY: clean
clean: ## remove build/
	rm -rf build
