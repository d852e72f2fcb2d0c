/* See sigbus.h. The table is read by the handler without a lock: a range is in force while `start`
 * is set, which is written last and cleared first. */
#include "vmm/sigbus.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"

#define MAX_RANGES 64

static struct watched {
	_Atomic uintptr_t start; /* 0: free */
	uint64_t len;
	sigbus_fn *lost;
	void *opaque;
} watched[MAX_RANGES];

static pthread_mutex_t watched_lock = PTHREAD_MUTEX_INITIALIZER; /* not the handler's */

static const struct watched *find_watched(uintptr_t at)
{
	for (size_t i = 0; i < MAX_RANGES; i++) {
		uintptr_t start = atomic_load(&watched[i].start);

		if (start != 0 && at >= start && at - start < watched[i].len)
			return &watched[i];
	}
	return NULL;
}

static void on_sigbus(int signal_number, siginfo_t *info, void *context)
{
	const struct watched *w = find_watched((uintptr_t)info->si_addr);
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	int saved = errno;

	(void)context;
	if (w != NULL) {
		void *at = (void *)align_down((uintptr_t)info->si_addr, page);

		w->lost(w->opaque, info->si_addr);
		if (mmap(at, page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
			 0) != MAP_FAILED) {
			errno = saved;
			return;
		}
	}
	/* The access is repeated on return, and then ends the process. */
	signal(signal_number, SIG_DFL);
}

static void install_handler(void)
{
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};

	sigaction(SIGBUS, &action, NULL);
}

void sigbus_watch(const uint8_t *host, uint64_t len, sigbus_fn *lost, void *opaque)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, install_handler);
	pthread_mutex_lock(&watched_lock);
	for (size_t i = 0; i < MAX_RANGES; i++) {
		struct watched *w = &watched[i];

		if (atomic_load(&w->start) != 0)
			continue;
		w->len = len;
		w->lost = lost;
		w->opaque = opaque;
		atomic_store(&w->start, (uintptr_t)host);
		break;
	}
	pthread_mutex_unlock(&watched_lock);
}

void sigbus_unwatch(const uint8_t *host)
{
	pthread_mutex_lock(&watched_lock);
	for (size_t i = 0; i < MAX_RANGES; i++) {
		if (atomic_load(&watched[i].start) == (uintptr_t)host)
			atomic_store(&watched[i].start, 0);
	}
	pthread_mutex_unlock(&watched_lock);
}
