/*
 * Preloaded into a machine: how long its calls into KVM take, KVM_RUN aside. The sum (ns) is kept in
 * the first 8 bytes of the file $KVM_CALLS_FILE.
 */
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/bench/preload.h"

static _Atomic int64_t *sum;

__attribute__((constructor)) static void map_sum(void)
{
	sum = map_number("KVM_CALLS_FILE");
}

__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...)
{
	bool counts = sum != NULL && _IOC_TYPE(request) == KVMIO && request != KVM_RUN;
	int64_t start = counts ? now_ns() : 0;
	va_list ap;
	void *arg;
	long ret;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	ret = syscall(SYS_ioctl, fd, request, arg);
	if (counts)
		atomic_fetch_add(sum, now_ns() - start);
	return (int)ret;
}
