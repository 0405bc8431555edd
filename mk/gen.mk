# Code from proto/: messages by protoc-c, and one embedded descriptor set for reflection and streaming flags.
#
#   build/gen               proto/**.proto and google/protobuf/*, libgen.a, descriptor_set.h
#   build/gen-conformance   grpc/testing of Debian's grpc-proto, libgen.a, conformance_descriptor_set.h
#   build/gen-cc            what the C++ peers of the benchmarks need
#
# scripts/generate leaves a file alone whose content stays the same, so that touching one .proto does not
# compile everything again.

PROTOC   ?= protoc
PROTOC_C ?= protoc-c
GEN_CFLAGS := -std=gnu17 -O2 -g -w -fno-omit-frame-pointer

GEN := build/gen
WELL_KNOWN := $(addprefix google/protobuf/,timestamp.proto duration.proto field_mask.proto empty.proto \
	any.proto descriptor.proto)
PROTOS := $(patsubst proto/%,%,$(sort $(shell test -d proto && find proto -name '*.proto')))

$(shell scripts/write-if-changed build/.protos $(PROTOS))

GEN_STAMP   := $(GEN)/.stamp
GEN_SOURCES := $(addprefix $(GEN)/,$(patsubst %.proto,%.pb-c.c,$(PROTOS) $(WELL_KNOWN)) descriptor_set.c)
GEN_HEADERS := $(GEN_SOURCES:.c=.h)
GEN_ARCHIVE := $(GEN)/libgen.a

$(GEN_STAMP): $(addprefix proto/,$(PROTOS)) build/.protos scripts/generate scripts/embed mk/gen.mk
	$(Q_GEN)PROTOC=$(PROTOC) PROTOC_C=$(PROTOC_C) scripts/generate $(GEN) descriptor_set casework_descriptor_set \
		proto "$(PROTOS)" "$(WELL_KNOWN)"
	@touch $@

# The empty recipes matter: they make make look at the files again after the generator has run.
$(GEN_SOURCES) $(GEN_HEADERS): $(GEN_STAMP) ;

$(GEN_ARCHIVE): $(GEN_SOURCES:.c=.o)
	@rm -f $@
	$(Q_AR)$(AR) rcs $@ $^

$(GEN)/%.o: $(GEN)/%.c mk/gen.mk | $(GEN_STAMP)
	$(Q_CC)gcc $(GEN_CFLAGS) -I$(GEN) -MMD -MP -c -o $@ $<

# --- the conformance services, where grpc-proto is installed ----------------------------------------------

CONFORMANCE_GEN := build/gen-conformance
GRPC_PROTO      := /usr/share/grpc-proto
ifneq ($(wildcard $(GRPC_PROTO)/grpc/testing/test.proto),)
CONFORMANCE_PROTOS  := $(addprefix grpc/testing/,empty.proto messages.proto test.proto)
CONFORMANCE_STAMP   := $(CONFORMANCE_GEN)/.stamp
CONFORMANCE_GEN_C   := $(addprefix $(CONFORMANCE_GEN)/,$(CONFORMANCE_PROTOS:.proto=.pb-c.c) \
	conformance_descriptor_set.c)
CONFORMANCE_ARCHIVE := $(CONFORMANCE_GEN)/libgen.a

$(CONFORMANCE_STAMP): $(addprefix $(GRPC_PROTO)/,$(CONFORMANCE_PROTOS)) scripts/generate scripts/embed mk/gen.mk
	$(Q_GEN)PROTOC=$(PROTOC) PROTOC_C=$(PROTOC_C) scripts/generate $(CONFORMANCE_GEN) conformance_descriptor_set \
		conformance_descriptor_set $(GRPC_PROTO) "$(CONFORMANCE_PROTOS)" ""
	@touch $@

$(CONFORMANCE_GEN_C) $(CONFORMANCE_GEN_C:.c=.h): $(CONFORMANCE_STAMP) ;

$(CONFORMANCE_ARCHIVE): $(CONFORMANCE_GEN_C:.c=.o)
	@rm -f $@
	$(Q_AR)$(AR) rcs $@ $^

$(CONFORMANCE_GEN)/%.o: $(CONFORMANCE_GEN)/%.c mk/gen.mk | $(CONFORMANCE_STAMP)
	$(Q_CC)gcc $(GEN_CFLAGS) -I$(CONFORMANCE_GEN) -MMD -MP -c -o $@ $<
endif

# --- C++ for the peers: health and the conformance services ----------------------------------------------

CC_GEN := build/gen-cc
ifneq ($(wildcard bench/*.cc),)
CC_HEALTH := $(filter grpc/health/v1/health.proto,$(PROTOS))
GEN_CC_STAMP   := $(CC_GEN)/.stamp
GEN_CC_SOURCES := $(addprefix $(CC_GEN)/,$(foreach p,$(CC_HEALTH) $(CONFORMANCE_PROTOS),$(p:.proto=.pb.cc) \
	$(p:.proto=.grpc.pb.cc)))
GEN_CC_ARCHIVE := $(CC_GEN)/libgen.a

$(GEN_CC_STAMP): $(addprefix proto/,$(CC_HEALTH)) build/.protos mk/gen.mk
	@mkdir -p $(CC_GEN)
	$(Q_GEN)plugin=$$(command -v grpc_cpp_plugin) && \
	$(PROTOC) -Iproto -I/usr/include --plugin=protoc-gen-grpc=$$plugin --cpp_out=$(CC_GEN) --grpc_out=$(CC_GEN) \
		$(CC_HEALTH) && \
	$(PROTOC) -I$(GRPC_PROTO) --plugin=protoc-gen-grpc=$$plugin --cpp_out=$(CC_GEN) --grpc_out=$(CC_GEN) \
		$(CONFORMANCE_PROTOS)
	@touch $@

$(GEN_CC_SOURCES): $(GEN_CC_STAMP) ;

$(GEN_CC_ARCHIVE): $(GEN_CC_SOURCES:.cc=.o)
	@rm -f $@
	$(Q_AR)$(AR) rcs $@ $^

$(CC_GEN)/%.o: $(CC_GEN)/%.cc $(GEN_CC_STAMP)
	$(Q_CC)$(CXX) -std=c++17 -O2 -g -w -I$(CC_GEN) -c -o $@ $<
endif

-include $(GEN_SOURCES:.c=.d) $(CONFORMANCE_GEN_C:.c=.d)
