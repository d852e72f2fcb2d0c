/*
 * Preloaded into a machine: one of the calls by which a save comes about fails, or the process that writes the
 * file is killed at it. Which one is said in the file $FAIL_CALL_FILE, which is mapped before main(), because a
 * machine confines itself; a save's own process shares the mapping. 8 bytes: n, the n-th call from now on; 0: none.
 * 8 bytes: 1, the process is killed, and only calls of copies of the machine count. The name of the call follows.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

struct shared {
	_Atomic int64_t left;
	_Atomic int64_t kill;
	char name[48];
};

static struct shared *shared;
static bool in_copy; /* this process is a copy of a machine */

__attribute__((constructor)) static void map_shared(void)
{
	const char *path = getenv("FAIL_CALL_FILE");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *page = MAP_FAILED;

	if (fd >= 0)
		page = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	shared = page != MAP_FAILED ? page : NULL;
}

static bool fails(const char *name, int error)
{
	int64_t left;

	if (shared == NULL || (atomic_load(&shared->kill) != 0 && !in_copy))
		return false;
	left = atomic_load(&shared->left);
	while (left > 0 && !atomic_compare_exchange_weak(&shared->left, &left, left - 1))
		;
	if (left != 1)
		return false;
	strcpy(shared->name, name);
	if (atomic_load(&shared->kill) != 0)
		kill(getpid(), SIGKILL);
	errno = error;
	return true;
}

/* A call that fails, or is libc's own. */
#define CALL(type, name, error, params, ...) CALL_IF(true, type, name, error, params, __VA_ARGS__)
#define CALL_IF(may_fail, type, name, error, params, ...)                                          \
	EXPORT type name params                                                                    \
	{                                                                                          \
		static type(*real) params;                                                         \
                                                                                                   \
		if (real == NULL)                                                                  \
			real = (type(*) params)dlsym(RTLD_NEXT, #name);                            \
		return (may_fail) && fails(#name, error) ? (type)-1 : real(__VA_ARGS__);           \
	}

CALL(int, pipe2, EMFILE, (int fd[2], int flags), fd, flags)
CALL(int, eventfd, EMFILE, (unsigned count, int flags), count, flags)
CALL(int, memfd_create, ENOMEM, (const char *name, unsigned flags), name, flags)
CALL_IF(op == EPOLL_CTL_ADD, int, epoll_ctl, ENOSPC,
	(int fd, int op, int about, struct epoll_event *event), fd, op, about, event)
CALL(ssize_t, pread, EIO, (int fd, void *data, size_t len, off_t at), fd, data, len, at)
CALL(ssize_t, pwrite, ENOSPC, (int fd, const void *data, size_t len, off_t at), fd, data, len, at)
CALL(ssize_t, pwritev, ENOSPC, (int fd, const struct iovec *v, int n, off_t at), fd, v, n, at)
CALL(ssize_t, write, ENOSPC, (int fd, const void *data, size_t len), fd, data, len)
CALL(ssize_t, writev, ENOSPC, (int fd, const struct iovec *v, int n), fd, v, n)
CALL(ssize_t, copy_file_range, EIO,
     (int in, off_t *from, int out, off_t *to, size_t len, unsigned flags), in, from, out, to, len,
     flags)
CALL(int, fsync, EIO, (int fd), fd)
CALL(int, fdatasync, EIO, (int fd), fd)
CALL(int, ftruncate, ENOSPC, (int fd, off_t size), fd, size)
CALL(int, fallocate, ENOSPC, (int fd, int mode, off_t at, off_t len), fd, mode, at, len)
CALL(off_t, lseek, EIO, (int fd, off_t at, int whence), fd, at, whence)
CALL(void *, mmap, ENOMEM, (void *at, size_t len, int prot, int flags, int fd, off_t offset), at,
     len, prot, flags, fd, offset)

EXPORT pid_t fork(void)
{
	static pid_t (*real)(void);
	pid_t pid;

	if (real == NULL)
		real = (pid_t(*)(void))dlsym(RTLD_NEXT, "fork");
	if (fails("fork", ENOMEM))
		return -1;
	pid = real();
	if (pid == 0 && shared != NULL && atomic_load(&shared->left) > 0)
		in_copy = true;
	return pid;
}

EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*main)(void *),
			  void *opaque)
{
	static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

	if (real == NULL)
		real = (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *),
				void *))dlsym(RTLD_NEXT, "pthread_create");
	return fails("pthread_create", EAGAIN) ? EAGAIN : real(thread, attr, main, opaque);
}

static int variadic_open(const char *name, int folder, const char *path, int flags, mode_t mode)
{
	static int (*real)(int, const char *, int, ...);

	if (real == NULL)
		real = (int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, "openat");
	return fails(name, EMFILE) ? -1 : real(folder, path, flags, mode);
}

EXPORT int open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return variadic_open("open", AT_FDCWD, path, flags, mode);
}

EXPORT int openat(int folder, const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return variadic_open("openat", folder, path, flags, mode);
}

EXPORT int fcntl(int fd, int command, ...)
{
	static int (*real)(int, int, ...);
	va_list ap;
	void *arg;

	va_start(ap, command);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (real == NULL)
		real = (int (*)(int, int, ...))dlsym(RTLD_NEXT, "fcntl");
	return command == F_DUPFD_CLOEXEC && fails("fcntl", EMFILE) ? -1 : real(fd, command, arg);
}

/* Of KVM, what reads the state of the machine. */
EXPORT int ioctl(int fd, unsigned long request, ...)
{
	static int (*real)(int, unsigned long, ...);
	const bool reads = _IOC_TYPE(request) == KVMIO &&
			   ((_IOC_DIR(request) & _IOC_READ) != 0 || request == KVM_GET_DIRTY_LOG);
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (real == NULL)
		real = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
	return reads && fails("ioctl", EINVAL) ? -1 : real(fd, request, arg);
}
