# Compiles and links. Called by the Makefile with FLAVOUR= and one of the goals below; copes with folders that
# are empty or not there.
#
#   release   build/        what is run and shipped: no injection points
#   test      build/test    injection points compiled in, -O1: unit and integration tests
#   asan      build/asan    the same under AddressSanitizer and UndefinedBehaviorSanitizer
#   tsan      build/tsan    the same under ThreadSanitizer
#   fuzz      build/fuzz    libraries for libFuzzer: clang, AddressSanitizer, coverage
#   bench     build/bench   benchmark programs only, linked with the release libraries
#
# Generated code is flavourless: made, compiled and archived once under build/gen, for everybody.

MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:

FLAVOUR ?= release
OUT := $(if $(filter release,$(FLAVOUR)),build,build/$(FLAVOUR))

include mk/flags.mk
include mk/gen.mk

LIB_NAMES     := base rpc pg redis text calendar feed embedded
SERVICE_NAMES := case search sla report

sources = $(wildcard $(addsuffix /*.$(2),$(1)))
objects = $(addprefix $(OUT)/obj/,$(addsuffix .o,$(basename $(1))))
archive = $(OUT)/lib/lib$(1).a

# --- libraries: lib/X/*.c → libX.a, services/X/*.c without main.c → libX_service.a --------------------------

LIBS_PRESENT     := $(foreach l,$(LIB_NAMES),$(if $(call sources,lib/$(l),c),$(l)))
SERVICES_PRESENT := $(foreach s,$(SERVICE_NAMES),$(if $(call sources,services/$(s),c),$(s)))
MAINS_PRESENT    := $(foreach s,$(SERVICE_NAMES),$(if $(wildcard services/$(s)/main.c),$(s)))
service_sources   = $(filter-out %/main.c,$(call sources,services/$(1),c))
SERVICE_LIBS     := $(foreach s,$(SERVICES_PRESENT),$(if $(call service_sources,$(s)),$(s)))

LIB_ARCHIVES     := $(foreach l,$(LIBS_PRESENT),$(call archive,$(l)))
SERVICE_ARCHIVES := $(foreach s,$(SERVICE_LIBS),$(call archive,$(s)_service))

define archive_rule
$(call archive,$(1)): $(call objects,$(2)) $(OUT)/obj/.list/$(1)
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(Q_AR)$(AR) rcs $$@ $$(filter %.o,$$^)
endef

# The list of an archive's members is a prerequisite too: a removed source must leave the archive.
list_file = $(shell scripts/write-if-changed $(OUT)/obj/.list/$(1) $(2))

$(foreach l,$(LIBS_PRESENT),$(call list_file,$(l),$(call sources,lib/$(l),c)))
$(foreach s,$(SERVICE_LIBS),$(call list_file,$(s)_service,$(call service_sources,$(s))))
$(foreach l,$(LIBS_PRESENT),$(eval $(call archive_rule,$(l),$(call sources,lib/$(l),c))))
$(foreach s,$(SERVICE_LIBS),$(eval $(call archive_rule,$(s)_service,$(call service_sources,$(s)))))

# --- programs --------------------------------------------------------------------------------------------

SERVICE_BINS := $(foreach s,$(MAINS_PRESENT),$(OUT)/bin/casework-$(s))
CLI_SOURCES  := $(call sources,cli,c)
CLI_BIN      := $(if $(CLI_SOURCES),$(OUT)/bin/casework)

link = $(Q_LD)mkdir -p $(@D) && $(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) \
	-Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(1) $(LDLIBS)

define service_rule
$(OUT)/bin/casework-$(1): $(call objects,services/$(1)/main.c) \
		$(if $(filter $(1),$(SERVICE_LIBS)),$(call archive,$(1)_service)) $(LIB_ARCHIVES) $(GEN_ARCHIVE)
	$$(call link)
endef
$(foreach s,$(MAINS_PRESENT),$(eval $(call service_rule,$(s))))

$(OUT)/bin/casework: $(call objects,$(CLI_SOURCES)) $(LIB_ARCHIVES) $(GEN_ARCHIVE)
	$(call link)

# --- examples: examples/X/*.c → casework-X ------------------------------------------------------------------

MAILDIR_SOURCES := $(call sources,examples/maildir,c)
MAILDIR_BIN     := $(if $(MAILDIR_SOURCES),$(OUT)/bin/casework-maildir)

$(call objects,$(MAILDIR_SOURCES)): CPPFLAGS += $(GMIME_CFLAGS)

$(OUT)/bin/casework-maildir: $(call objects,$(MAILDIR_SOURCES)) $(LIB_ARCHIVES) $(GEN_ARCHIVE)
	$(call link,$(GMIME_LIBS))

# --- tests -----------------------------------------------------------------------------------------------

UNIT_SOURCES        := $(call sources,tests/unit tests/unit/*,c)
INTEGRATION_SOURCES := $(call sources,tests/integration tests/integration/*,c)
SUPPORT_SOURCES     := $(call sources,tests/support,c)
CONFORMANCE_SOURCES := $(call sources,tests/conformance,c)
FUZZ_SOURCES        := $(call sources,tests/fuzz,c)

SUPPORT_ARCHIVE := $(if $(SUPPORT_SOURCES),$(call archive,test_support))
TEST_ARCHIVES   := $(SUPPORT_ARCHIVE) $(SERVICE_ARCHIVES) $(LIB_ARCHIVES) $(GEN_ARCHIVE)

$(if $(SUPPORT_SOURCES),$(call list_file,test_support,$(SUPPORT_SOURCES)))
$(if $(SUPPORT_SOURCES),$(eval $(call archive_rule,test_support,$(SUPPORT_SOURCES))))

UNIT_BIN         := $(if $(UNIT_SOURCES),$(OUT)/bin/unit-tests)
INTEGRATION_BIN  := $(if $(INTEGRATION_SOURCES),$(OUT)/bin/integration-tests)
CONFORMANCE_BIN  := $(if $(CONFORMANCE_SOURCES),$(OUT)/bin/conformance-server)
FUZZ_NAMES       := $(notdir $(basename $(FUZZ_SOURCES)))
REPLAY_BINS      := $(addprefix $(OUT)/bin/replay-,$(FUZZ_NAMES))
FUZZ_BINS        := $(addprefix $(OUT)/bin/fuzz-,$(FUZZ_NAMES))

# Criterion's own runner cannot work under ThreadSanitizer and is slow under AddressSanitizer: tests/runner/fork_runner.c.
RUNNER := $(if $(filter asan tsan,$(FLAVOUR)),$(OUT)/obj/tests/runner/fork_runner.o)

$(call list_file,unit,$(UNIT_SOURCES))
$(call list_file,integration,$(INTEGRATION_SOURCES))

$(OUT)/bin/unit-tests: $(call objects,$(UNIT_SOURCES)) $(OUT)/obj/cli/bars.o $(RUNNER) $(TEST_ARCHIVES) $(CONFORMANCE_ARCHIVE) $(OUT)/obj/.list/unit
	$(call link,-lcriterion)

$(OUT)/bin/integration-tests: $(call objects,$(INTEGRATION_SOURCES)) $(RUNNER) $(TEST_ARCHIVES) $(CONFORMANCE_ARCHIVE) \
		$(OUT)/obj/.list/integration
	$(call link,-lcriterion)

$(OUT)/bin/conformance-server: $(call objects,$(CONFORMANCE_SOURCES)) $(LIB_ARCHIVES) $(GEN_ARCHIVE) \
		$(CONFORMANCE_ARCHIVE)
	$(call link)

# A fuzz target twice: with libFuzzer to search, and with a plain main() to replay what the search has found.
$(REPLAY_BINS): $(OUT)/bin/replay-%: $(OUT)/obj/tests/fuzz/%.o $(OUT)/obj/tests/fuzz/replay/main.o $(TEST_ARCHIVES)
	$(call link)

$(FUZZ_BINS): $(OUT)/bin/fuzz-%: $(OUT)/obj/tests/fuzz/%.o $(TEST_ARCHIVES)
	$(call link,-fsanitize=fuzzer)

# The reader of import files belongs to the command line.
$(OUT)/bin/replay-fuzz_import $(OUT)/bin/fuzz-fuzz_import: $(OUT)/obj/cli/conversation.o

# --- benchmarks ------------------------------------------------------------------------------------------

BENCH_C     := $(call sources,bench,c)
BENCH_CC    := $(call sources,bench,cc)
BENCH_SUPPORT := $(call sources,bench/support,c)
# What search's peers share; search_parts looks into our own index.
SEARCH_PEER_SUPPORT := $(filter-out %/search_parts.c,$(filter bench/support/search_%,$(BENCH_SUPPORT)))
BENCH_BINS  := $(addprefix build/bench/bin/,$(notdir $(basename $(BENCH_C) $(BENCH_CC))))
BENCH_ARCHIVES := $(SERVICE_ARCHIVES) $(LIB_ARCHIVES) $(GEN_ARCHIVE) $(CONFORMANCE_ARCHIVE)

# What only some of them need.
build/bench/bin/search_peer_fts5: BENCH_LIBS := -lsqlite3
build/bench/bin/search_peer_xapian: BENCH_LIBS := -lxapian
build/bench/bin/search_peer_xapian: $(call objects,$(SEARCH_PEER_SUPPORT)) $(LIB_ARCHIVES)

$(addprefix build/bench/bin/,$(notdir $(basename $(BENCH_C)))): build/bench/bin/%: \
		$(OUT)/obj/bench/%.o $(call objects,$(BENCH_SUPPORT)) $(BENCH_ARCHIVES)
	$(call link,$(BENCH_LIBS))

$(addprefix build/bench/bin/,$(notdir $(basename $(BENCH_CC)))): build/bench/bin/%: \
		$(OUT)/obj/bench/%.o $(GEN_CC_ARCHIVE)
	$(Q_LD)mkdir -p $(@D) && $(CXX) $(LDFLAGS) -o $@ $(filter %.o,$^) \
		-Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(BENCH_LIBS) $(LDLIBS_CXX)

# Not one of BENCH_BINS: it takes cargo, which mk/bench.mk has run by then.
TANTIVY := build/bench/tantivy/release/libsearch_peer_tantivy.a
build/bench/bin/search_peer_tantivy: $(OUT)/obj/bench/peers/search_peer_tantivy.o $(TANTIVY) \
		$(call objects,$(SEARCH_PEER_SUPPORT)) $(LIB_ARCHIVES) $(GEN_ARCHIVE)
	$(call link)

# --- compiling -------------------------------------------------------------------------------------------

# Generated headers must exist before anything is compiled; which of them matter the .d files know.
$(OUT)/obj/%.o: %.c $(OUT)/obj/.flags | $(GEN_STAMP) $(CONFORMANCE_STAMP)
	@mkdir -p $(@D)
	$(Q_CC)$(CC) $(CPPFLAGS) $(CFLAGS) -MD -MP -c -o $@ $<

$(OUT)/obj/%.o: %.cc $(OUT)/obj/.flags | $(GEN_CC_STAMP)
	@mkdir -p $(@D)
	$(Q_CC)$(CXX) $(CPPFLAGS_CXX) $(CXXFLAGS) -MD -MP -c -o $@ $<

$(call list_file,../.flags,$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS))

-include $(shell test -d $(OUT)/obj && find $(OUT)/obj -name '*.d')

# --- goals -----------------------------------------------------------------------------------------------

.PHONY: gen programs tests conformance fuzzers bench print-flags
gen: $(GEN_ARCHIVE) $(CONFORMANCE_ARCHIVE) ; @:
programs: $(GEN_ARCHIVE) $(LIB_ARCHIVES) $(SERVICE_ARCHIVES) $(SERVICE_BINS) $(CLI_BIN) $(MAILDIR_BIN) ; @:
conformance: $(CONFORMANCE_BIN) ; @:
tests: programs conformance $(UNIT_BIN) $(INTEGRATION_BIN) $(REPLAY_BINS) ; @:
fuzzers: $(FUZZ_BINS) ; @:
bench: programs $(BENCH_BINS) ; @:

# For scripts/flags.
print-flags:
	@echo $(CPPFLAGS) $(GMIME_CFLAGS) -std=gnu17
