/* See guest_speed.h. */
#include "cli/guest_speed.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "vmm/arch.h"

#define ENOUGH	 (5 * NS_PER_MS) /* less than a turn of the scheduler takes */
#define SAMPLES	 8u
#define MAX_LOOP (UINT32_C(1) << 30)

struct looper {
	struct kvm *kvm;
	struct kvm_vcpu vcpu;
	uint8_t *page;
};

static int time_loop(void *opaque, uint32_t count, uint64_t *ns, struct err *err)
{
	struct looper *looper = opaque;
	struct kvm_vcpu *vcpu = &looper->vcpu;
	uint64_t start;
	int ret;

	ret = arch_loop_start(looper->kvm, vcpu, looper->page, count, err);
	if (ret < 0)
		return ret;
	start = clock_monotonic_ns();
	do {
		ret = kvm_vcpu_run(vcpu);
	} while (ret == -EINTR || ret == -EAGAIN);
	*ns = clock_monotonic_ns() - start;
	if (ret < 0)
		return err_sys(err, -ret, "KVM_RUN");
	if (!arch_loop_ended(vcpu->run))
		return err_set(err, ERR_FAILED, "a guest of a few instructions ended with exit %u",
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
	*per_second = (uint64_t)((double)count * ARCH_LOOP_INSNS * 1e9 / (double)(best + 1));
	return 0;
}

static int with_vcpu(struct kvm *kvm, uint8_t *page, size_t size, uint64_t *per_second,
		     struct err *err)
{
	struct looper looper = {.kvm = kvm, .page = page};
	int ret = arch_loop_vm(kvm, err);

	if (ret < 0)
		return ret;
	ret = kvm_set_memory(kvm, 0, 0, size, page, 0, err);
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
	const size_t size = (size_t)sysconf(_SC_PAGESIZE);
	struct kvm kvm;
	uint8_t *page;
	int ret = kvm_open(&kvm, err);

	if (ret < 0)
		return ret;
	page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED) {
		ret = err_sys(err, errno, "allocate a page");
	} else {
		ret = with_vcpu(&kvm, page, size, per_second, err);
		munmap(page, size);
	}
	kvm_close(&kvm);
	return ret;
}
