# torpor: non-recursive; every object lies under $(BUILD), one list a folder.
#
#   make            the program              make demo     the main job, on this machine or in the lab
#   make check      all tests                make help     the rest
#
# `make` is the developer's build: -O2, no link-time optimization. RELEASE=1 is what is installed and
# measured: small, linked as one unit, in build-release.
#
# Variables: RELEASE=1, SAN=1 (ASan and UBSan, in build-asan), COV=1 (build-cov), BUILD, WERROR=1,
# CROSS_COMPILE (a prefix such as aarch64-linux-gnu-), ARCH (arm64), SYSROOT, CC, AR, STRIP, PKG_CONFIG,
# CFLAGS, LDFLAGS, PREFIX (/usr/local), DESTDIR, V=1 (show commands).

MAKEFLAGS += -rR --no-print-directory
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

# What make itself predefines is nobody's choice.
unset = $(filter default undefined,$(origin $(1)))
CC     := $(if $(call unset,CC),$(CROSS_COMPILE)gcc,$(CC))
# gcc-ar and not ar: objects of RELEASE=1 hold GCC's intermediate language.
AR     := $(if $(call unset,AR),$(CROSS_COMPILE)gcc-ar,$(AR))
STRIP  := $(if $(call unset,STRIP),$(CROSS_COMPILE)strip,$(STRIP))
OBJCOPY := $(if $(call unset,OBJCOPY),$(CROSS_COMPILE)objcopy,$(OBJCOPY))
CLANG  ?= clang
PREFIX ?= /usr/local
Q      := $(if $(V),,@)

MACHINE := $(shell $(CC) -dumpmachine)
ARCH    ?= $(patsubst aarch64,arm64,$(firstword $(subst -, ,$(MACHINE))))

ifdef CROSS_COMPILE
# Its libraries and headers: those that `make deps-$(ARCH)` unpacked, or else what the compiler finds by itself.
SYSROOT    ?= $(wildcard $(CURDIR)/build/sysroot-$(ARCH))
override CC := $(CC) $(SYSROOT:%=--sysroot=%)
# Results do not mix with this machine's own.
CROSS      := -$(ARCH)
ifneq ($(SYSROOT),)
PKG_CONFIG ?= PKG_CONFIG_SYSROOT_DIR=$(SYSROOT) \
  PKG_CONFIG_LIBDIR=$(SYSROOT)/usr/lib/$(MACHINE)/pkgconfig:$(SYSROOT)/usr/share/pkgconfig pkg-config
endif
endif
PKG_CONFIG ?= $(CROSS_COMPILE)pkg-config

ifdef SAN
BUILD    ?= build-asan$(CROSS)
OPTIMIZE := -O1
SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined
else ifdef COV
BUILD    ?= build-cov$(CROSS)
OPTIMIZE := -O1
SANFLAGS := --coverage
else ifdef RELEASE
BUILD    ?= build-release$(CROSS)
# Small is fast to load, and what is hot (hashing, copying) lies in libraries: -Oz costs nothing that was
# measured. What GCC's -Oz still has on for speed makes it 3.4 KB larger; clang does not know these flags.
SMALL_GCC := -fno-expensive-optimizations -fno-caller-saves -fno-move-loop-invariants -fno-tree-loop-im \
             -fno-tree-dominator-opts -fno-thread-jumps -flto-partition=one $(if $(filter x86_64,$(ARCH)),-malign-data=abi)
OPTIMIZE := -Oz $(if $(findstring clang,$(CC)),,$(SMALL_GCC))
# The program alone is linked as one unit (LTO).
LTO      := $(if $(findstring clang,$(CC)),,-flto=2 -ffat-lto-objects)
else
BUILD    ?= build$(CROSS)
OPTIMIZE := -O2
endif

VERSION   := 0.1.0
CFLAGS    ?= $(OPTIMIZE) -g
CPPFLAGS  += -I. -D_GNU_SOURCE -DTORPOR_VERSION='"$(VERSION)"'
WARNINGS  := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings -Wvla \
             $(if $(WERROR),-Werror)
CSTD      := -std=gnu17 -fvisibility=hidden -ffunction-sections -fdata-sections \
             -fno-asynchronous-unwind-tables -fno-plt
ALL_CFLAGS = $(CSTD) $(WARNINGS) $(SANFLAGS) $(CFLAGS)
# Relocations are packed, and segments have no padding between them.
ALL_LDFLAGS = -Wl,--gc-sections -Wl,--as-needed -Wl,-O2 -Wl,-z,relro,-z,now -Wl,-z,noseparate-code \
              $(if $(filter arm64,$(ARCH)),,-Wl,-z,pack-relative-relocs) -Wl,--build-id=none -Wl,--hash-style=gnu -Wl,--no-eh-frame-hdr $(SANFLAGS) $(LDFLAGS)

# What is linked: libc and jansson, and libfdt where a device tree describes machines (arm64). The others are loaded by the verbs that need them
# (ARCHITECTURE.md, "Start-up"), so only their headers matter here.
NEEDED_PACKAGES := jansson libarchive libcrypto libzstd libcurl libmicrohttpd libsystemd
missing := $(shell for p in $(NEEDED_PACKAGES); do $(PKG_CONFIG) --exists $$p 2>/dev/null || echo $$p; done)
# Its pkg-config file asks for glib's, of which we need nothing.
missing += $(shell printf '\043include <slirp/libslirp.h>\n' | $(CC) $(CPPFLAGS) -E - >/dev/null 2>&1 || echo libslirp)
# It has no pkg-config file.
missing += $(shell printf '\043include <libfdt.h>\n' | $(CC) $(CPPFLAGS) -E - >/dev/null 2>&1 || echo libfdt)
missing := $(strip $(missing))
LIBS := $(shell $(PKG_CONFIG) --libs jansson 2>/dev/null) -lfdt -lpthread

FOLDERS := base state format/crypto format/image format store registry container wire vmm vmm/arm64/boot vmm/$(ARCH) devices/net devices/block devices/$(ARCH:x86_64=x86) devices \
           devices/virtio snapshot host events lan guest instance move golden bootfiles serve service volume series limits meter report share vsock
SOURCES := $(wildcard $(FOLDERS:%=%/*.c))
CLI     := $(wildcard cli/*.c)
OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o)
CLI_OBJECTS := $(CLI:%.c=$(BUILD)/%.o)
TORPOR  := $(BUILD)/torpor

.PHONY: all
all: $(TORPOR) ## build the program

COMPILE = $(CC) $(CPPFLAGS) $(if $(filter tests/%,$<),,-Wconversion $(LTO)) $(ALL_CFLAGS)
LINK    = $(CC) $(LTO) $(ALL_CFLAGS) $(ALL_LDFLAGS)

# Changes when the compiler or a flag does: everything is then made anew.
.PHONY: FORCE
$(BUILD)/flags: export FLAGS = $(COMPILE) $(LTO) $(ALL_LDFLAGS)
$(BUILD)/flags: FORCE
	@mkdir -p $(@D); printf '%s\n' "$$FLAGS" | cmp -s - $@ || printf '%s\n' "$$FLAGS" >$@

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	@$(if $(missing),echo "torpor: missing: $(missing): run make deps$(CROSS)" >&2; exit 1)
	@$(if $(V),,echo "  CC   $<")
	$(Q)$(COMPILE) -MMD -MP -c -o $@ $<

$(BUILD)/libtorpor.a: $(OBJECTS)
	@$(if $(V),,echo "  AR   $@")
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(TORPOR): $(CLI_OBJECTS) $(BUILD)/libtorpor.a
	@$(if $(V),,echo "  LD   $@")
	$(Q)$(LINK) -o $@ $^ $(LIBS)

include images/tiny/rules.mk
include tests/rules.mk
include guest/helper/rules.mk

.PHONY: deps
deps: ## install what building and testing need (apt-get; as root)
	$(Q)tests/deps

.PHONY: deps-arm64
deps-arm64: ## what building for arm64 elsewhere needs: the cross compiler, QEMU (apt-get; as root), arm64's libraries
	$(Q)tests/deps-arm64

.PHONY: release
release: ## build what is installed and measured, in build-release
	$(Q)$(MAKE) RELEASE=1 SAN= COV= BUILD=build-release$(CROSS) all

MAN1 := $(DESTDIR)$(PREFIX)/share/man/man1/torpor.1
MAN5 := $(DESTDIR)$(PREFIX)/share/man/man5/torpor.5
MAN7 := $(DESTDIR)$(PREFIX)/share/man/man7
# Where the shells look; Debian's packages have another folder for zsh.
BASH_COMPLETION := $(DESTDIR)$(PREFIX)/share/bash-completion/completions/torpor
ZSH_FUNCTIONS   ?= $(PREFIX)/share/zsh/site-functions
ZSH_COMPLETION   = $(DESTDIR)$(ZSH_FUNCTIONS)/_torpor
systemdsystemunitdir ?= $(PREFIX)/lib/systemd/system
systemduserunitdir   ?= $(PREFIX)/lib/systemd/user
SCHEMAS := $(DESTDIR)$(PREFIX)/share/torpor/schema
UNITS := torpor@.service torpor@.socket
FISH_COMPLETION := $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/torpor.fish

# STRIP= leaves the symbols in.
.PHONY: install
install: release ## install the program, manual pages, schemas, completions and systemd's units into $(PREFIX)
	install -Dm 755 build-release/torpor $(DESTDIR)$(PREFIX)/bin/torpor
	$(if $(STRIP),$(STRIP) $(DESTDIR)$(PREFIX)/bin/torpor)
	install -Dm 644 cli/torpor.1 $(MAN1)
	install -Dm 644 format/torpor.5 $(MAN5)
	install -Dm 644 guest/torpor-guests.7 $(MAN7)/torpor-guests.7
	install -Dm 644 host/torpor-control.7 $(MAN7)/torpor-control.7
	install -dm 755 $(SCHEMAS)
	install -m 644 doc/schema/*.json $(SCHEMAS)
	install -Dm 644 cli/completion.bash $(BASH_COMPLETION)
	install -Dm 644 cli/completion.zsh $(ZSH_COMPLETION)
	install -Dm 644 cli/completion.fish $(FISH_COMPLETION)
	for unit in $(UNITS); do for folder in $(systemdsystemunitdir) $(systemduserunitdir); do \
	  install -dm 755 $(DESTDIR)$$folder && sed 's,/usr/bin/,$(PREFIX)/bin/,' service/$$unit >$(DESTDIR)$$folder/$$unit && \
	  chmod 644 $(DESTDIR)$$folder/$$unit || exit 1; done; done

.PHONY: uninstall
uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(PREFIX)/bin/torpor $(MAN1) $(MAN5) $(MAN7)/torpor-guests.7 $(MAN7)/torpor-control.7 $(BASH_COMPLETION) $(ZSH_COMPLETION) $(FISH_COMPLETION)
	rm -f $(addprefix $(SCHEMAS)/,$(notdir $(wildcard doc/schema/*.json)))
	rmdir $(SCHEMAS) $(dir $(SCHEMAS)) 2>/dev/null || true
	rm -f $(foreach unit,$(UNITS),$(DESTDIR)$(systemdsystemunitdir)/$(unit) $(DESTDIR)$(systemduserunitdir)/$(unit))

.PHONY: format
format: ## reformat every C file
	clang-format -i $$(git ls-files '*.c' '*.h')

.PHONY: lint
lint: ## include directions, formatting, man pages, shell scripts
	$(Q)tests/lint.sh

.PHONY: compdb
compdb: export COMMAND = $(COMPILE)
compdb: ## compile_commands.json for editors, with the flags that are used
	$(Q)python3 -c 'import json, os, sys; print(json.dumps([{"directory": os.getcwd(), "file": f, \
	  "command": os.environ["COMMAND"] + " -c " + f} for f in sys.argv[1:]], indent=1))' \
	  $(SOURCES) $(CLI) $(UNIT_SRC) $(KVM_SRC) >compile_commands.json

.PHONY: clean
clean: ## remove build results (downloads and guest images stay)
	rm -rf $(addprefix $(BUILD)/,$(sort $(foreach f,$(FOLDERS) cli,$(firstword $(subst /, ,$f))))) \
	  $(BUILD)/tests $(TORPOR) $(BUILD)/libtorpor.a build-release build-asan build-cov build-fuzz

.PHONY: help
help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | \
	  awk -F'\t' '{ printf "  make %-10s %s\n", $$1, $$2 }'

-include $(OBJECTS:.o=.d) $(CLI_OBJECTS:.o=.d)
