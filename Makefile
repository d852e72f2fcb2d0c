# torpor: non-recursive; every object lies under $(BUILD), one list a folder.
#
#   make            the program              make demo     the main job, on this machine or in the lab
#   make check      all tests                make help     the rest
#
# Variables: BUILD (build), WERROR=1, SAN=1 (ASan and UBSan, in build-asan), COV=1 (build-cov),
# CC, CFLAGS, LDFLAGS, PREFIX (/usr/local), DESTDIR, V=1 (show commands).

MAKEFLAGS += -rR --no-print-directory
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

CC     := $(if $(filter default undefined,$(origin CC)),gcc,$(CC))
CLANG  ?= clang
PREFIX ?= /usr/local
Q      := $(if $(V),,@)

ifdef SAN
BUILD     ?= build-asan
SANFLAGS  := -fsanitize=address,undefined -fno-sanitize-recover=undefined
else ifdef COV
BUILD     ?= build-cov
SANFLAGS  := --coverage
else
BUILD     ?= build
endif

VERSION   := 0.1.0
# Small is fast to load, and what is hot (hashing, copying) lies in libraries: -Oz costs nothing that was
# measured. Sanitizer and coverage builds want readable code instead.
# What GCC's -Oz still has on for speed makes it 3.4 KB larger; clang does not know these flags.
SMALL_GCC := -fno-expensive-optimizations -fno-caller-saves -fno-move-loop-invariants -fno-tree-loop-im \
             -fno-tree-dominator-opts -fno-thread-jumps -malign-data=abi -flto-partition=one
SMALL     := -Oz $(if $(findstring clang,$(CC)),,$(SMALL_GCC))
CFLAGS    ?= $(if $(SAN)$(COV),-O1,$(SMALL)) -g
CPPFLAGS  += -I. -D_GNU_SOURCE -DTORPOR_VERSION='"$(VERSION)"'
WARNINGS  := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings -Wvla \
             $(if $(WERROR),-Werror)
CSTD      := -std=gnu17 -fvisibility=hidden -ffunction-sections -fdata-sections \
             -fno-asynchronous-unwind-tables -fno-plt
ALL_CFLAGS = $(CSTD) $(WARNINGS) $(SANFLAGS) $(CFLAGS)
# The program alone is linked as one unit (LTO), with packed relocations, without padding between segments.
LTO       := $(if $(SAN)$(COV)$(findstring clang,$(CC)),,-flto=2 -ffat-lto-objects)
ALL_LDFLAGS = -Wl,--gc-sections -Wl,--as-needed -Wl,-O2 -Wl,-z,relro,-z,now -Wl,-z,noseparate-code \
              -Wl,-z,pack-relative-relocs -Wl,--build-id=none -Wl,--hash-style=gnu -Wl,--no-eh-frame-hdr $(SANFLAGS) $(LDFLAGS)

# What is linked: libc and jansson. the others are loaded by the verbs that need them
# (ARCHITECTURE.md, "Start-up"), so only their headers matter here.
NEEDED_PACKAGES := jansson libcrypto libarchive libzstd
missing := $(shell for p in $(NEEDED_PACKAGES); do pkg-config --exists $$p 2>/dev/null || echo $$p; done)
# Its pkg-config file asks for glib's, of which we need nothing.
missing += $(shell printf '\043include <slirp/libslirp.h>\n' | $(CC) $(CPPFLAGS) -E - >/dev/null 2>&1 || echo libslirp)
missing := $(strip $(missing))
LIBS := $(shell pkg-config --libs jansson 2>/dev/null) -lpthread

ARCH    := x86_64
SOURCES := $(wildcard vmm/base/*.c vmm/*.c vmm/$(ARCH)/*.c format/*.c devices/*.c \
             devices/virtio/*.c lan/*.c snapshot/*.c)
CLI     := $(wildcard cli/*.c)
OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o)
CLI_OBJECTS := $(CLI:%.c=$(BUILD)/%.o)
TORPOR  := $(BUILD)/torpor

.PHONY: all
all: $(TORPOR) ## build the program

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@$(if $(missing),echo "torpor: missing: $(missing): run make deps" >&2; exit 1)
	@$(if $(V),,echo "  CC   $<")
	$(Q)$(CC) $(CPPFLAGS) $(if $(filter tests/%,$<),,-Wconversion $(LTO)) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/libtorpor.a: $(OBJECTS)
	@$(if $(V),,echo "  AR   $@")
	$(Q)rm -f $@ && gcc-ar rcs $@ $^

$(TORPOR): $(CLI_OBJECTS) $(BUILD)/libtorpor.a
	@$(if $(V),,echo "  LD   $@")
	$(Q)$(CC) $(LTO) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

include images/tiny/rules.mk
include tests/rules.mk

.PHONY: deps
deps: ## install what building and testing need (apt-get; as root)
	$(Q)tests/deps

.PHONY: install
install: $(TORPOR) ## install the program, its manual pages and completion into $(PREFIX)
	install -Ds -m 755 $(TORPOR) $(DESTDIR)$(PREFIX)/bin/torpor
	install -Dm 644 cli/torpor.1 $(DESTDIR)$(PREFIX)/share/man/man1/torpor.1
	install -Dm 644 format/torpor.5 $(DESTDIR)$(PREFIX)/share/man/man5/torpor.5
	install -Dm 644 cli/completion.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/torpor

.PHONY: format
format: ## reformat every C file
	clang-format -i $$(git ls-files '*.c' '*.h')

.PHONY: lint
lint: ## include directions, formatting, man pages, shell scripts
	$(Q)tests/lint.sh

.PHONY: compdb
compdb: ## compile_commands.json for editors
	$(Q)for f in $(SOURCES) $(CLI); do \
	  printf '{"directory":"%s","file":"%s","command":"%s"}\n' "$(CURDIR)" "$$f" \
	    '$(CC) -I. -D_GNU_SOURCE $(CSTD) $(WARNINGS) -c '$$f; done | \
	  sed -e '1s/^/[/' -e '$$!s/$$/,/' -e '$$s/$$/]/' > compile_commands.json

.PHONY: clean
clean: ## remove build results (downloads and guest images stay)
	rm -rf $(BUILD)/vmm $(BUILD)/format $(BUILD)/devices $(BUILD)/lan $(BUILD)/snapshot $(BUILD)/cli \
	  $(BUILD)/tests $(TORPOR) $(BUILD)/libtorpor.a build-asan build-cov

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | \
	  awk -F'\t' '{ printf "  make %-10s %s\n", $$1, $$2 }'

-include $(OBJECTS:.o=.d) $(CLI_OBJECTS:.o=.d)
