# Tests. `make check` runs every suite through tests/run, which sums them into one line.

UNIT_SRC := $(wildcard tests/unit/*.c tests/unit/$(ARCH)/*.c)
KVM_SRC  := $(wildcard tests/kvm/*.c tests/kvm/$(ARCH)/*.c)
UNIT_OBJ := $(UNIT_SRC:%.c=$(BUILD)/%.o)
KVM_OBJ  := $(KVM_SRC:%.c=$(BUILD)/%.o)
# The verbs are tested too; only the program's own main() stays out.
TESTED   := $(filter-out $(BUILD)/cli/main.o,$(CLI_OBJECTS)) $(BUILD)/libtorpor.a

# Criterion finds its tests in a linker section that nothing refers to: no --gc-sections here.
TEST_LDFLAGS = $(SANFLAGS) $(LDFLAGS)

# libarchive: what tar headers are compared with.
$(BUILD)/tests/unit/runner: $(UNIT_OBJ) $(TESTED)
	@$(if $(V),,echo "  LD   $@")
	$(Q)$(CC) $(ALL_CFLAGS) $(TEST_LDFLAGS) -o $@ $^ -lcriterion -larchive $(LIBS)

$(BUILD)/tests/kvm/runner: $(KVM_OBJ) $(BUILD)/libtorpor.a
	@$(if $(V),,echo "  LD   $@")
	$(Q)$(CC) $(ALL_CFLAGS) $(TEST_LDFLAGS) -o $@ $^ -lcriterion $(LIBS)

# Makes a root of a container's image, for tests/container.
$(BUILD)/tests/container/root: $(BUILD)/tests/container/root.o $(BUILD)/libtorpor.a
	@$(if $(V),,echo "  LD   $@")
	$(Q)$(CC) $(ALL_CFLAGS) $(TEST_LDFLAGS) -o $@ $^ $(LIBS)

# In a machine's place behind a download, for tests/registry.
$(BUILD)/tests/registry/reader: $(BUILD)/tests/registry/reader.o $(BUILD)/libtorpor.a
	@$(if $(V),,echo "  LD   $@")
	$(Q)$(CC) $(ALL_CFLAGS) $(TEST_LDFLAGS) -o $@ $^ $(LIBS)

# A shared folder behind this kernel's driver, for tests/share.
$(BUILD)/tests/share/mounted: $(BUILD)/tests/share/mounted.o $(BUILD)/libtorpor.a
	@$(if $(V),,echo "  LD   $@")
	$(Q)$(CC) $(ALL_CFLAGS) $(TEST_LDFLAGS) -o $@ $^ $(LIBS)

# Preloaded into machines of this build: without the sanitizers, which want to be first.
$(BUILD)/tests/kvm/preload/%.so: tests/kvm/preload/%.c
	@mkdir -p $(@D)
	@$(if $(V),,echo "  LD   $@")
	$(Q)$(CC) -O2 -D_GNU_SOURCE -Wall -Wextra $(if $(WERROR),-Werror) -shared -fPIC -o $@ $<

-include $(UNIT_OBJ:.o=.d) $(KVM_OBJ:.o=.d) $(BUILD)/tests/container/root.d $(BUILD)/tests/registry/reader.d $(BUILD)/tests/share/mounted.d

include tests/fuzz/rules.mk

TEST_PROGRAMS := $(BUILD)/tests/unit/runner $(BUILD)/tests/kvm/runner $(BUILD)/tests/container/root $(BUILD)/tests/registry/reader $(BUILD)/tests/share/mounted $(BUILD)/tests/kvm/preload/fail_call.so $(TINY)

# The tests are built on all cores, however make was called.
JOBS = $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))

.PHONY: check-build
check-build: $(TORPOR) $(TEST_PROGRAMS)

# The same program for arm64, made on this machine.
FOR_ARM64 = ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- CC=aarch64-linux-gnu-gcc AR=aarch64-linux-gnu-gcc-ar BUILD=build-arm64
ARM64_HOST_PROGRAMS = $(addprefix build-arm64/,torpor tests/unit/runner tests/kvm/runner images/tiny.Image)

.PHONY: check
check: deps deps-arm64 ## run all tests: lint, unit, KVM with the tiny kernel, real guests here or in the lab
	$(Q)$(MAKE) $(JOBS) check-build
	$(Q)$(MAKE) $(JOBS) check-build SAN=1
	$(Q)$(MAKE) $(JOBS) release
	$(Q)$(MAKE) $(JOBS) fuzz
	$(Q)$(MAKE) $(JOBS) $(FOR_ARM64) $(ARM64_HOST_PROGRAMS)
	$(Q)images/debian/build
	$(Q)tests/run lint unit asan kvm verbs badinput interop registry container share fuzz labkvm arm64 arm64host lab

.PHONY: soak
soak: deps deps-arm64 ## the slow campaigns: kills while saving, long save/resume chains
	$(Q)tests/deps soak
	$(Q)$(MAKE) $(JOBS) check-build release
	$(Q)$(MAKE) $(JOBS) fuzz
	$(Q)$(MAKE) $(JOBS) $(FOR_ARM64) $(ARM64_HOST_PROGRAMS)
	$(Q)tests/run package soak labsoak fuzzsoak

.PHONY: bench
bench: deps release ## speed and size, as ratios against a floor and peers in the same run
	$(Q)$(MAKE) $(BUILD)/images/tiny.elf
	$(Q)tests/bench/run

.PHONY: demo
demo: deps ## freeze a Debian guest with a warm redis here, wake it on a second host
	$(Q)$(MAKE) all
	$(Q)tests/demo/run
