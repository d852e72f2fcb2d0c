# The tiny test kernel, $(BUILD)/images/tiny.elf. Included by the Makefile at the root, which sets
# BUILD and CC.

TINY_SRC := start.S $(addsuffix .c,main str serial mem cpu virtio blk blkbench badqueue console rng balloon net fs vsock)
TINY_OBJ := $(TINY_SRC:%=$(BUILD)/images/tiny/%.o)

# No SSE, red zone or anything else the instruction emulator of KVM or a missing run-time cannot do;
# nothing from the user's CFLAGS (sanitizers, hardening) belongs here either.
TINY_CFLAGS := -std=gnu17 -O2 -g0 -march=x86-64 -mgeneral-regs-only -mno-red-zone -ffreestanding \
	-fno-pic -fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none -fno-builtin \
	-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings -Wvla -Wconversion
TINY_LDFLAGS := -nostdlib -static -Wl,--build-id=none,-z,max-page-size=4096,-z,noexecstack \
	-Wl,-T,images/tiny/tiny.lds

$(BUILD)/images/tiny/%.o: images/tiny/% images/tiny/rules.mk
	@mkdir -p $(@D)
	$(CC) $(TINY_CFLAGS) -I. -MMD -MP -c -o $@ $<

$(BUILD)/images/tiny.elf: $(TINY_OBJ) images/tiny/tiny.lds
	$(CC) $(TINY_LDFLAGS) -o $@ $(TINY_OBJ)

-include $(TINY_OBJ:.o=.d)
