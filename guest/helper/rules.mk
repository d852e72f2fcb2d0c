# The programs that torpor brings into guests: static, without a C library, for the guest's architecture,
# which is the host's. torpor carries their bytes. Included by the Makefile at the root.
#
# The helper (guest/helper) runs commands; the init (guest/init) is process 1 of guests made from images.

HELPER_SRC := $(wildcard guest/helper/*.c)
HELPER_OBJ := $(HELPER_SRC:%.c=$(BUILD)/%.o)
INIT_SRC := $(wildcard guest/init/*.c)
INIT_OBJ := $(INIT_SRC:%.c=$(BUILD)/%.o) $(addprefix $(BUILD)/guest/helper/,memory.o base.o account.o execute.o console_port.o random.o)

# Nothing of the user's CFLAGS (sanitizers, hardening) works without a C library.
HELPER_CFLAGS := -std=gnu17 -Os -g0 $(if $(findstring x86_64,$(ARCH)),-march=x86-64 -fcf-protection=none) \
	-ffreestanding -fno-builtin -fno-pic -fno-pie -fno-stack-protector -fno-asynchronous-unwind-tables \
	-fno-tree-loop-distribute-patterns -ffunction-sections -fdata-sections -D_GNU_SOURCE \
	-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings -Wvla $(if $(WERROR),-Werror)
HELPER_LDFLAGS := -nostdlib -static -no-pie -Wl,--build-id=none,--gc-sections,-s,-z,noexecstack,-z,noseparate-code

GUEST_OBJ := $(sort $(HELPER_OBJ) $(INIT_OBJ))
$(GUEST_OBJ): $(BUILD)/%.o: %.c guest/helper/rules.mk $(BUILD)/flags
	@mkdir -p $(@D)
	@$(if $(V),,echo "  CC   $<")
	$(Q)$(CC) $(HELPER_CFLAGS) -I. -MMD -MP -c -o $@ $<

$(BUILD)/guest/helper/helper: $(HELPER_OBJ)
$(BUILD)/guest/init/init: $(INIT_OBJ)
$(BUILD)/guest/helper/helper $(BUILD)/guest/init/init:
	@$(if $(V),,echo "  LD   $@")
	$(Q)$(CC) $(HELPER_LDFLAGS) -o $@ $^

# Their bytes as the members of arrays.
define guest_bytes
$(BUILD)/guest/$(1)_bytes.o $(FUZZ_BUILD)/guest/$(1)_bytes.o: $(BUILD)/guest/$(1)_bytes.inc
$(BUILD)/guest/$(1)_bytes.o $(FUZZ_BUILD)/guest/$(1)_bytes.o: private CPPFLAGS += -I$(BUILD)
$(BUILD)/guest/$(1)_bytes.inc: $(BUILD)/guest/$(1)/$(1)
	$$(Q)od -An -v -tu1 $$< | sed 's/[0-9][0-9]*/&,/g' >$$@
endef
$(eval $(call guest_bytes,helper))
$(eval $(call guest_bytes,init))

-include $(GUEST_OBJ:.o=.d)
