/*
 * The floor of waking: a program that makes only the KVM calls no VMM can avoid, up to the first
 * exit of a guest with `MIB` of memory. torpor's own cost is what it adds to this, in the same run.
 * The calls come in the customary order: chips, vCPU, memory slots; with `slots-first` in torpor's,
 * in which the same calls cost the kernel some milliseconds less (ARCHITECTURE.md, "So is the
 * order"). With `no-slots` there are none, and the first exit is that of a guest that finds no
 * memory.
 *
 * Usage: floor MIB [slots-first|no-slots]. Exit status 0 after the first exit; 1 when a call failed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define LOW_END (3ull << 30)

static int call(int fd, unsigned long request, const void *arg, const char *name)
{
	int ret = ioctl(fd, request, arg);

	if (ret < 0) {
		fprintf(stderr, "floor: %s: %s\n", name, strerror(errno));
		exit(1);
	}
	return ret;
}

#define CALL(fd, request, arg) call(fd, request, (const void *)(uintptr_t)(arg), #request)

static void *map(size_t size, int flags, int fd)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (p == MAP_FAILED) {
		perror("floor: mmap");
		exit(1);
	}
	return p;
}

/* A PC has its devices and interrupt controllers below 4 GiB: more than 3 GiB of RAM takes two
 * slots. */
static void add_slots(int vm, uint8_t *ram, size_t size)
{
	struct kvm_userspace_memory_region region = {
		.memory_size = size < LOW_END ? size : LOW_END,
		.userspace_addr = (uintptr_t)ram,
	};

	CALL(vm, KVM_SET_USER_MEMORY_REGION, &region);
	if (size <= LOW_END)
		return;
	region.slot = 1;
	region.guest_phys_addr = 4ull << 30;
	region.memory_size = size - LOW_END;
	region.userspace_addr += LOW_END;
	CALL(vm, KVM_SET_USER_MEMORY_REGION, &region);
}

/* out %al,$0x80 at address 0, in real mode. */
static void load_guest(uint8_t *ram, int vcpu)
{
	static const uint8_t code[] = {0xe6, 0x80, 0xf4};
	struct kvm_sregs sregs;
	struct kvm_regs regs = {.rip = 0, .rflags = 2};

	memcpy(ram, code, sizeof(code));
	CALL(vcpu, KVM_GET_SREGS, &sregs);
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	CALL(vcpu, KVM_SET_SREGS, &sregs);
	CALL(vcpu, KVM_SET_REGS, &regs);
}

int main(int argc, char **argv)
{
	size_t size = (argc > 1 ? strtoull(argv[1], NULL, 10) : 256) << 20;
	struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
	bool slots_first = argc > 2 && strcmp(argv[2], "slots-first") == 0;
	bool no_slots = argc > 2 && strcmp(argv[2], "no-slots") == 0;
	uint64_t identity = 0xfffbc000;
	uint8_t *ram;
	int dev, vm, vcpu;

	dev = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (dev < 0) {
		perror("floor: /dev/kvm");
		return 1;
	}
	vm = CALL(dev, KVM_CREATE_VM, 0);
	ram = map(size, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	if (slots_first)
		add_slots(vm, ram, size);
	CALL(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	CALL(vm, KVM_SET_TSS_ADDR, 0xfffbd000);
	CALL(vm, KVM_CREATE_IRQCHIP, 0);
	CALL(vm, KVM_CREATE_PIT2, &pit);
	vcpu = CALL(vm, KVM_CREATE_VCPU, 0);
	map((size_t)CALL(dev, KVM_GET_VCPU_MMAP_SIZE, 0), MAP_SHARED, vcpu);
	if (!slots_first && !no_slots)
		add_slots(vm, ram, size);
	load_guest(ram, vcpu);
	CALL(vcpu, KVM_RUN, 0);
	return 0;
}
