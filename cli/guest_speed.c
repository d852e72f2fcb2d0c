/* See guest_speed.h. x86-64. */
#include "cli/guest_speed.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/clock.h"
#include "base/num.h"
#include "vmm/kvm.h"

#define PAGE	 4096u
#define ENOUGH	 (5 * NS_PER_MS) /* less than a turn of the scheduler takes */
#define SAMPLES	 8u
#define MAX_LOOP (UINT32_C(1) << 30)

/* mov $count,%ecx; 1: dec %ecx; jnz 1b; out %al,$0x80 — 16-bit code with 32-bit operands. */
static const uint8_t code[] = {0x66, 0xb9, 0, 0, 0, 0, 0x66, 0x49, 0x75, 0xfc, 0xe6, 0x80};
#define COUNT_AT	2u
#define LOOP_INSNS	2u
#define TSS_BELOW_4GIB	0xfffbd000ul
#define REAL_MODE_FLAGS 2u

static int set_loop_start(struct kvm_vcpu *vcpu, struct err *err)
{
	struct kvm_regs regs = {.rip = 0, .rflags = REAL_MODE_FLAGS};
	struct kvm_sregs sregs = {0};
	int ret = kvm_vcpu_call(vcpu, KVM_GET_SREGS, &sregs, err);

	if (ret < 0)
		return ret;
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	ret = kvm_vcpu_call(vcpu, KVM_SET_SREGS, &sregs, err);
	return ret < 0 ? ret : kvm_vcpu_call(vcpu, KVM_SET_REGS, &regs, err);
}

struct looper {
	struct kvm_vcpu vcpu;
	uint8_t *page;
};

static int time_loop(void *opaque, uint32_t count, uint64_t *ns, struct err *err)
{
	struct looper *looper = opaque;
	struct kvm_vcpu *vcpu = &looper->vcpu;
	uint64_t start;
	int ret;

	le_put32(looper->page + COUNT_AT, count);
	ret = set_loop_start(vcpu, err);
	if (ret < 0)
		return ret;
	start = clock_monotonic_ns();
	do {
		ret = kvm_vcpu_run(vcpu);
	} while (ret == -EINTR || ret == -EAGAIN);
	*ns = clock_monotonic_ns() - start;
	if (ret < 0)
		return err_sys(err, -ret, "KVM_RUN");
	if (vcpu->run->exit_reason != KVM_EXIT_IO)
		return err_set(err, ERR_FAILED, "a guest of six instructions ended with exit %u",
			       vcpu->run->exit_reason);
	return 0;
}

/* Longer and longer until the time means something; then the best of several: other processes make
 * a sample slower, and nothing makes it faster. */
int guest_speed_best(guest_speed_run *run, void *opaque, uint64_t *per_second, struct err *err)
{
	uint32_t count = 4096;
	uint64_t ns = 0, best = UINT64_MAX;
	int ret;

	for (;; count *= 2) {
		ret = run(opaque, count, &ns, err);
		if (ret < 0)
			return ret;
		if (ns >= ENOUGH || count == MAX_LOOP)
			break;
	}
	for (unsigned i = 1; i < SAMPLES; i++) {
		best = u64_min(best, ns);
		ret = run(opaque, count, &ns, err);
		if (ret < 0)
			return ret;
	}
	best = u64_min(best, ns);
	*per_second = (uint64_t)((double)count * LOOP_INSNS * 1e9 / (double)(best + 1));
	return 0;
}

static int with_vcpu(struct kvm *kvm, uint8_t *page, uint64_t *per_second, struct err *err)
{
	struct looper looper = {.page = page};
	int ret = kvm_call(kvm, KVM_SET_TSS_ADDR, (const void *)TSS_BELOW_4GIB, err);

	if (ret < 0)
		return ret;
	ret = kvm_set_memory(kvm, 0, 0, PAGE, page, 0, err);
	if (ret < 0)
		return ret;
	ret = kvm_vcpu_open(kvm, 0, &looper.vcpu, err);
	if (ret < 0)
		return ret;
	ret = guest_speed_best(time_loop, &looper, per_second, err);
	kvm_vcpu_close(&looper.vcpu);
	return ret;
}

int guest_speed_measure(uint64_t *per_second, struct err *err)
{
	struct kvm kvm;
	uint8_t *page;
	int ret = kvm_open(&kvm, err);

	if (ret < 0)
		return ret;
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED) {
		ret = err_sys(err, errno, "allocate a page");
	} else {
		memcpy(page, code, sizeof(code));
		ret = with_vcpu(&kvm, page, per_second, err);
		munmap(page, PAGE);
	}
	kvm_close(&kvm);
	return ret;
}
