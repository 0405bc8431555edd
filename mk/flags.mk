# Compilers, flags and libraries by flavour. V=1 shows the commands.

ifeq ($(FLAVOUR),fuzz)
CC := clang
else ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin CXX),default)
CXX := g++
endif
AR ?= ar
PKG_CONFIG ?= pkg-config

V ?= 0
ifeq ($(V),0)
Q_CC = @echo "  CC   $@"; 
Q_AR = @echo "  AR   $@"; 
Q_LD = @echo "  LD   $@"; 
Q_GEN = @echo "  GEN  $@"; 
endif

PACKAGES := hiredis libpq libjwt jansson libxxhash libmicrohttpd openssl libprotobuf-c
PACKAGE_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PACKAGES))
PACKAGE_LIBS   := $(shell $(PKG_CONFIG) --libs $(PACKAGES))

# Of the example connector alone.
GMIME_CFLAGS = $(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags gmime-3.0))
GMIME_LIBS   = $(shell $(PKG_CONFIG) --libs gmime-3.0)

WARNINGS := -Wall -Wextra -Werror -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla

CPPFLAGS = -D_GNU_SOURCE -Ilib -Iservices -I. -isystem build/gen -isystem build/gen-conformance $(PACKAGE_CFLAGS) $(FLAVOUR_CPPFLAGS)
CFLAGS   = -std=gnu17 $(DEBUG) $(WARNINGS) -fno-omit-frame-pointer -pthread $(FLAVOUR_CFLAGS) $(EXTRA_CFLAGS)
LDFLAGS  = -pthread -Wl,--as-needed $(FLAVOUR_LDFLAGS)
# grpc.pc lists what a static link would need; the shared libraries know their own dependencies.
LDLIBS   = -lgrpc -lgpr $(PACKAGE_LIBS) -lunistring -lz -lm

FLAVOUR_CPPFLAGS_release := -D_FORTIFY_SOURCE=2
FLAVOUR_CFLAGS_release   := -O2 -fstack-protector-strong
FLAVOUR_LDFLAGS_release  := -Wl,-z,relro,-z,now

FLAVOUR_CPPFLAGS_test := -DCASEWORK_INJECTION
FLAVOUR_CFLAGS_test   := -O1

# Of the sanitizer flavours only reports are read: -g1 has the functions and lines of these, and a third of the compile
# time goes.
DEBUG := $(if $(filter asan tsan,$(FLAVOUR)),-g1,-g)

ASAN := -fsanitize=address,undefined -fno-sanitize-recover=all
FLAVOUR_CPPFLAGS_asan := -DCASEWORK_INJECTION
# What instrumentation hides from the compiler makes it warn of lengths that cannot be.
FLAVOUR_CFLAGS_asan   := -O1 $(ASAN) -Wno-format-truncation
FLAVOUR_LDFLAGS_asan  := $(ASAN)

FLAVOUR_CPPFLAGS_tsan := -DCASEWORK_INJECTION
FLAVOUR_CFLAGS_tsan   := -O1 -fsanitize=thread
FLAVOUR_LDFLAGS_tsan  := -fsanitize=thread

FLAVOUR_CPPFLAGS_fuzz := -DCASEWORK_INJECTION
FLAVOUR_CFLAGS_fuzz   := -O1 $(ASAN) -fsanitize=fuzzer-no-link
FLAVOUR_LDFLAGS_fuzz  := $(ASAN)

FLAVOUR_CPPFLAGS := $(FLAVOUR_CPPFLAGS_$(FLAVOUR))
FLAVOUR_CFLAGS   := $(FLAVOUR_CFLAGS_$(FLAVOUR))
FLAVOUR_LDFLAGS  := $(FLAVOUR_LDFLAGS_$(FLAVOUR))

# The C++ peers of the benchmarks.
CPPFLAGS_CXX = -I. -Ibuild/gen-cc
CXXFLAGS     = -std=c++17 -O2 -g -Wall -Wextra -Werror -pthread
LDLIBS_CXX   = $(shell $(PKG_CONFIG) --libs grpc++ protobuf)
