# Fuzz targets (libFuzzer, ASan, UBSan), in a build of their own: clang, whatever CC is.

FUZZ_BUILD   ?= build-fuzz
FUZZ_TARGETS := archive arm64state arrival boot client control exec gateway json lan layer map net registry seek share signature state transcript tree vsock
FUZZ_FLAGS   := $(CSTD) $(WARNINGS) -O1 -g -fno-omit-frame-pointer \
                -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
FUZZ_LIB     := $(FUZZ_BUILD)/libtorpor.a
# The verbs are fuzzed too; only the program's own main() stays out.
FUZZ_OBJECTS := $(patsubst %.c,$(FUZZ_BUILD)/%.o,$(SOURCES) $(filter-out cli/main.c,$(CLI)))

$(FUZZ_BUILD)/%.o: %.c tests/fuzz/rules.mk
	@mkdir -p $(@D)
	@$(if $(V),,echo "  CC   $< (fuzz)")
	$(Q)$(CLANG) $(CPPFLAGS) $(FUZZ_FLAGS) -MMD -MP -c -o $@ $<

$(FUZZ_LIB): $(FUZZ_OBJECTS)
	$(Q)rm -f $@ && ar rcs $@ $^

# Walks over all leases: tracing each comparison of them took most of a run.
$(FUZZ_BUILD)/lan/lease.o: FUZZ_FLAGS += -fno-sanitize-coverage=trace-cmp

# What stands before the library replaces its files.
$(FUZZ_BUILD)/tests/fuzz/archive: $(FUZZ_BUILD)/tests/fuzz/known.o $(FUZZ_BUILD)/tests/fuzz/serial.o
$(FUZZ_BUILD)/tests/fuzz/arm64state: $(FUZZ_BUILD)/tests/fuzz/arm64_tables.o $(FUZZ_BUILD)/tests/fuzz/fuzz_state.o
$(FUZZ_BUILD)/tests/fuzz/state: $(FUZZ_BUILD)/tests/unit/fake_board.o $(FUZZ_BUILD)/tests/fuzz/fuzz_state.o
$(FUZZ_BUILD)/tests/fuzz/net: $(FUZZ_BUILD)/tests/unit/fake_driver.o $(FUZZ_BUILD)/tests/unit/fake_net.o
$(FUZZ_BUILD)/tests/fuzz/net: FUZZ_LIBS := -lcriterion
$(FUZZ_BUILD)/tests/fuzz/vsock: $(FUZZ_BUILD)/tests/unit/fake_driver.o
$(FUZZ_BUILD)/tests/fuzz/state: FUZZ_LIBS := -lcriterion
$(FUZZ_BUILD)/tests/fuzz/vsock: FUZZ_LIBS := -lcriterion

FUZZERS := $(FUZZ_TARGETS:%=$(FUZZ_BUILD)/tests/fuzz/%)
$(FUZZERS): %: %.o $(FUZZ_BUILD)/tests/fuzz/fuzz.o $(FUZZ_LIB)
	@$(if $(V),,echo "  LD   $@")
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $(filter %.o,$^) $(FUZZ_LIB) $(FUZZ_LIBS) $(LIBS)

.PHONY: fuzz
fuzz: $(FUZZERS) ## build the fuzz targets; tests/run fuzz runs them

-include $(FUZZ_OBJECTS:.o=.d) $(wildcard $(FUZZ_BUILD)/tests/*/*.d)
