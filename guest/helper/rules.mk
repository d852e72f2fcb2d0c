# The helper that runs commands in the guest: a static program without a C library for the guest's
# architecture, which is the host's. torpor carries its bytes. Included by the Makefile at the root.

HELPER_SRC := $(wildcard guest/helper/*.c)
HELPER_OBJ := $(HELPER_SRC:%.c=$(BUILD)/%.o)

# Nothing of the user's CFLAGS (sanitizers, hardening) works without a C library.
HELPER_CFLAGS := -std=gnu17 -Os -g0 $(if $(findstring x86_64,$(ARCH)),-march=x86-64 -fcf-protection=none) \
	-ffreestanding -fno-builtin -fno-pic -fno-pie -fno-stack-protector -fno-asynchronous-unwind-tables \
	-fno-tree-loop-distribute-patterns -ffunction-sections -fdata-sections -D_GNU_SOURCE \
	-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings -Wvla $(if $(WERROR),-Werror)
HELPER_LDFLAGS := -nostdlib -static -no-pie -Wl,--build-id=none,--gc-sections,-s,-z,noexecstack,-z,noseparate-code

$(BUILD)/guest/helper/%.o: guest/helper/%.c guest/helper/rules.mk $(BUILD)/flags
	@mkdir -p $(@D)
	@$(if $(V),,echo "  CC   $<")
	$(Q)$(CC) $(HELPER_CFLAGS) -I. -MMD -MP -c -o $@ $<

$(BUILD)/guest/helper/helper: $(HELPER_OBJ)
	@$(if $(V),,echo "  LD   $@")
	$(Q)$(CC) $(HELPER_LDFLAGS) -o $@ $(HELPER_OBJ)

# Its bytes as the members of an array.
HELPER_BYTES := $(BUILD)/guest/helper_bytes.o $(FUZZ_BUILD)/guest/helper_bytes.o
$(HELPER_BYTES): $(BUILD)/guest/helper_bytes.inc
$(HELPER_BYTES): private CPPFLAGS += -I$(BUILD)
$(BUILD)/guest/helper_bytes.inc: $(BUILD)/guest/helper/helper
	$(Q)od -An -v -tu1 $< | sed 's/[0-9][0-9]*/&,/g' >$@

-include $(HELPER_OBJ:.o=.d)
