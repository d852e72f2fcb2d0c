/* See uffd.h. No state, no locks: the kernel's. */
#include "snapshot/uffd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/num.h"

#define DEVICE "/dev/userfaultfd"

/* The device needs no right but its file's permission (Linux 6.1); the system call wants
 * CAP_SYS_PTRACE or the sysctl. UFFD_USER_MODE_ONLY, which needs neither, is of no use: KVM
 * touches guest memory in the kernel. */
static int open_descriptor(void)
{
	int device = open(DEVICE, O_RDWR | O_CLOEXEC);
	int fd = -1;

	if (device >= 0) {
		fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
		close(device);
	}
	return fd >= 0 ? fd : (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
}

int uffd_open(int *fd, struct err *err)
{
	struct uffdio_api api = {.api = UFFD_API};

	*fd = open_descriptor();
	if (*fd < 0)
		return err_set(err, ERR_INCOMPATIBLE,
			       "no userfaultfd for KVM's faults (%s): it takes access to " DEVICE
			       " (Linux 6.1 or later), vm.unprivileged_userfaultfd=1, or "
			       "CAP_SYS_PTRACE",
			       strerror(errno));
	if (ioctl(*fd, UFFDIO_API, &api) < 0) {
		int ret = err_sys(err, errno, "UFFDIO_API");

		close(*fd);
		*fd = -1;
		return ret;
	}
	return 0;
}

int uffd_register(int fd, uint8_t *host, uint64_t len, struct err *err)
{
	struct uffdio_register reg = {
		.range = {.start = (uintptr_t)host, .len = len},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	if (ioctl(fd, UFFDIO_REGISTER, &reg) < 0)
		return err_sys(err, errno, "register memory with userfaultfd");
	return 0;
}

int uffd_unregister(int fd, uint8_t *host, uint64_t len)
{
	struct uffdio_range range = {.start = (uintptr_t)host, .len = len};

	return ioctl(fd, UFFDIO_UNREGISTER, &range) < 0 ? -errno : 0;
}

bool uffd_next(int fd, uint8_t **address)
{
	struct uffd_msg msg;

	while (read(fd, &msg, sizeof(msg)) == sizeof(msg)) {
		if (msg.event != UFFD_EVENT_PAGEFAULT)
			continue;
		*address = (uint8_t *)(uintptr_t)msg.arg.pagefault.address;
		return true;
	}
	return false;
}

/* How many bytes went in, or -errno when none did. */
static int64_t uffd_copy_once(int fd, uint8_t *host, const uint8_t *data, uint64_t len)
{
	struct uffdio_copy copy = {
		.dst = (uintptr_t)host,
		.src = (uintptr_t)data,
		.len = len,
		.mode = UFFDIO_COPY_MODE_DONTWAKE,
	};
	struct uffdio_zeropage zero = {
		.range = {.start = (uintptr_t)host, .len = len},
		.mode = UFFDIO_ZEROPAGE_MODE_DONTWAKE,
	};
	int ret = data != NULL ? ioctl(fd, UFFDIO_COPY, &copy) : ioctl(fd, UFFDIO_ZEROPAGE, &zero);
	int64_t done = data != NULL ? copy.copy : zero.zeropage;

	return ret == 0 || done > 0 ? done : -errno;
}

/* All at once, and page by page from where that fails: pages may be there already, or belong to
 * another mapping by now. */
int uffd_copy(int fd, uint8_t *host, const uint8_t *data, uint64_t len)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), step = len, done = 0;

	while (done < len) {
		uint64_t want = u64_min(step, len - done);
		int64_t got =
			uffd_copy_once(fd, host + done, data != NULL ? data + done : NULL, want);

		if (got > 0)
			done += (uint64_t)got;
		else if (got == -EAGAIN)
			sched_yield(); /* the address space is just changing */
		else if (got != -EEXIST && got != -ENOENT)
			return (int)got;
		else if (want > page)
			step = page;
		else
			done += page;
	}
	return 0;
}

void uffd_wake(int fd, uint8_t *host, uint64_t len)
{
	struct uffdio_range range = {.start = (uintptr_t)host, .len = len};

	(void)ioctl(fd, UFFDIO_WAKE, &range);
}
