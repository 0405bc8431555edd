# Tests. T=pattern runs only the Criterion tests that match it (suite/name); FUZZ_SECONDS is a target's share.

FUZZ_SECONDS ?= 60
T ?=

.PHONY: test
test: deps-test ## unit tests, integration tests, replay of the fuzz corpora; T=suite/name picks some
	+@$(BUILD) FLAVOUR=test tests
	@FLAVOUR=test FILTER='$(T)' scripts/run-tests

.PHONY: asan
asan: deps-test ## the same tests under AddressSanitizer and UndefinedBehaviorSanitizer
	+@$(BUILD) FLAVOUR=asan tests
	@FLAVOUR=asan FILTER='$(T)' scripts/run-tests

.PHONY: tsan
tsan: deps-test ## the same tests under ThreadSanitizer
	+@$(BUILD) FLAVOUR=tsan tests
	@FLAVOUR=tsan FILTER='$(T)' scripts/run-tests

.PHONY: fuzz
fuzz: deps-lint ## search for new inputs with libFuzzer; FUZZ_SECONDS=60 for each target, FUZZ=name picks one
	+@$(BUILD) FLAVOUR=fuzz fuzzers
	@scripts/run-fuzz $(FUZZ_SECONDS) $(FUZZ)

.PHONY: conformance
conformance: deps-test ## the gRPC interoperability suite against tests/conformance (needs go)
	+@$(BUILD) FLAVOUR=test conformance
	@if [ -x tests/conformance/run.sh ]; then CASEWORK_BIN=build/test/bin tests/conformance/run.sh; \
	else echo "conformance: no tests/conformance/run.sh"; fi
