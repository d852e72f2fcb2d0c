/*
 * Preloaded into any VMM: tells when its first vCPU came back from the guest for the first time,
 * then ends the process. The time (CLOCK_MONOTONIC, ns) goes to descriptor $FIRST_EXIT_FD.
 */
#include <dlfcn.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void tell(void)
{
	const char *fd = getenv("FIRST_EXIT_FD");
	struct timespec now;
	char line[32];
	int len;

	clock_gettime(CLOCK_MONOTONIC, &now);
	len = snprintf(line, sizeof(line), "%lld\n", now.tv_sec * 1000000000LL + now.tv_nsec);
	if (fd != NULL && write(atoi(fd), line, (size_t)len) == len)
		_exit(0);
	_exit(1);
}

__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;
	long ret;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	ret = syscall(SYS_ioctl, fd, request, arg);
	if (request == KVM_RUN && ret == 0)
		tell();
	return (int)ret;
}
