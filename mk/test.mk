# Tests. T=pattern runs only the Criterion tests that match it (suite/name); FUZZ_SECONDS is a target's share.

FUZZ_SECONDS ?= 60
T ?=

.PHONY: test
test: build-test ## unit tests, integration tests, replay of the fuzz corpora; T=suite/name picks some
	@FLAVOUR=test FILTER='$(T)' scripts/run-tests

.PHONY: asan
asan: build-asan ## the same tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@FLAVOUR=asan FILTER='$(T)' scripts/run-tests

.PHONY: tsan
tsan: build-tsan ## the same tests under ThreadSanitizer
	@FLAVOUR=tsan FILTER='$(T)' scripts/run-tests

TEST_BUILDS := build-test build-asan build-tsan
.PHONY: $(TEST_BUILDS)
$(TEST_BUILDS): build-%: deps-test ## what the tests of flavour NAME need (test, asan, tsan), without running them
	+@$(BUILD) FLAVOUR=$* tests

.PHONY: fuzz
fuzz: deps-lint ## search for new inputs with libFuzzer; FUZZ_SECONDS=60 for each target, FUZZ=name picks one
	+@$(BUILD) FLAVOUR=fuzz fuzzers
	@scripts/run-fuzz $(FUZZ_SECONDS) $(FUZZ)

.PHONY: conformance
conformance: deps-test ## others' programs judge ours: grpc-go's interoperability suite (needs go), LibreOffice
	+@$(BUILD) FLAVOUR=test tests
	@CASEWORK_BIN=build/test/bin tests/conformance/spreadsheet.sh
	@if [ -x tests/conformance/run.sh ]; then CASEWORK_BIN=build/test/bin tests/conformance/run.sh; \
	else echo "conformance: no tests/conformance/run.sh"; fi
