# Benchmarks: `make bench-NAME` runs bench/NAME.sh once everything it may need is built: the release binaries in
# build/bin, bench/*.c and bench/*.cc as programs of the same name in build/bench/bin, and the release build of
# the conformance server in build/bin/conformance-server. Results go to build/bench/NAME.json.

BENCH_SCRIPTS := $(sort $(wildcard bench/*.sh))
BENCH_TARGETS := $(patsubst bench/%.sh,bench-%,$(BENCH_SCRIPTS))

.PHONY: bench
bench: bench-programs ## every benchmark, one after the other, each beside its peers (not bench-search-peers)
	@for script in $(filter-out bench/search-peers.sh,$(BENCH_SCRIPTS)); do CASEWORK_BIN=build/bin BENCH_BIN=build/bench/bin "$$script" || exit 1; done

$(BENCH_TARGETS): bench-%: bench/%.sh bench-programs ## one of them: bench/NAME.sh, such as bench-rpc and bench-write
	@CASEWORK_BIN=build/bin BENCH_BIN=build/bench/bin $<

.PHONY: bench-programs $(BENCH_TARGETS)
bench-programs: deps-bench
	+@$(BUILD) conformance bench
	@mkdir -p build/bench

# bench-search-peers has one side more than bench-search, which takes cargo and crates: Tantivy.
bench-search-peers: build/bench/bin/search_peer_tantivy

build/bench/bin/search_peer_tantivy: FORCE | bench-programs
	@command -v cargo >/dev/null || { echo "Tantivy needs cargo and rustc 1.88 or newer (Debian: cargo-web, rustc-web)" >&2; exit 1; }
	@cargo build --quiet --locked --release --manifest-path bench/peers/tantivy/Cargo.toml --target-dir build/bench/tantivy
	+@$(BUILD) $@

.PHONY: FORCE
FORCE:
