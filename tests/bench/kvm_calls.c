/*
 * Preloaded into a machine: how long its calls into KVM take, KVM_RUN aside. The sum (ns) is kept in
 * the first 8 bytes of the file $KVM_CALLS_FILE, which is mapped before main(), as in first_exit.c.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static _Atomic int64_t *sum;

__attribute__((constructor)) static void map_sum(void)
{
	const char *path = getenv("KVM_CALLS_FILE");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *page;

	if (fd < 0)
		return;
	page = mmap(NULL, sizeof(*sum), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page != MAP_FAILED)
		sum = page;
	close(fd);
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
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
