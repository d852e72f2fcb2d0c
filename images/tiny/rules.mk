# The tiny test kernel: $(BUILD)/images/tiny.elf, of arm64 $(BUILD)/images/tiny.Image. Included by the Makefile at the
# root, which sets BUILD, ARCH, CROSS_COMPILE and CC.

TINY_ARCH := images/tiny/$(ARCH)
TINY_SRC := $(addprefix $(ARCH)/,start.S boot.c cpu.c) \
	$(addsuffix .c,main str serial mem cpu virtio blk blkbench badqueue console rng balloon net fs vsock)
TINY_OBJ := $(TINY_SRC:%=$(BUILD)/images/tiny/%.o)
TINY     := $(BUILD)/images/tiny.$(if $(filter arm64,$(ARCH)),Image,elf)

# No floating point, red zone or anything else the instruction emulator of KVM or a missing run-time cannot do;
# nothing from the user's CFLAGS (sanitizers, hardening) belongs here either.
TINY_CFLAGS_x86_64 := -march=x86-64 -mno-red-zone -fcf-protection=none
TINY_CFLAGS_arm64  := -march=armv8-a -mno-outline-atomics -mbranch-protection=none
TINY_CFLAGS := -std=gnu17 -O2 -g0 -mgeneral-regs-only -ffreestanding $(TINY_CFLAGS_$(ARCH)) \
	-fno-pic -fno-pie -fno-stack-protector -fno-asynchronous-unwind-tables -fno-builtin -fno-tree-loop-distribute-patterns \
	-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings -Wvla -Wconversion
TINY_LDFLAGS := -nostdlib -static -no-pie -Wl,--build-id=none,-z,max-page-size=4096,-z,noexecstack \
	-Wl,-T,$(TINY_ARCH)/tiny.lds

$(BUILD)/images/tiny/%.o: images/tiny/% images/tiny/rules.mk
	@mkdir -p $(@D)
	$(CC) $(TINY_CFLAGS) -I. -MMD -MP -c -o $@ $<

$(BUILD)/images/tiny.elf: $(TINY_OBJ) $(TINY_ARCH)/tiny.lds
	$(CC) $(TINY_LDFLAGS) -o $@ $(TINY_OBJ)

$(BUILD)/images/tiny.Image: $(BUILD)/images/tiny.elf
	$(OBJCOPY) -O binary $< $@

-include $(TINY_OBJ:.o=.d)
