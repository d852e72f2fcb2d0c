/* Jobs over threads; see parallel.h. One mutex guards the outcome; the next job is an atomic
 * count. */
#include "base/parallel.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/cleanup.h"
#include "base/num.h"

#define MAX_THREADS 8u
#define MAX_CPUS    (1u << 16) /* more than any kernel is built for */

struct work {
	uint64_t jobs;
	int (*job)(void *opaque, uint64_t index, struct err *err);
	void *opaque;
	atomic_uint_fast64_t next;
	pthread_mutex_t lock; /* guards the two below */
	int ret;
	struct err err;
};

static void parallel_fail(struct work *work, int ret, const struct err *err)
{
	pthread_mutex_lock(&work->lock);
	if (work->ret == 0) {
		work->ret = ret;
		work->err = *err;
	}
	pthread_mutex_unlock(&work->lock);
	atomic_store(&work->next, work->jobs);
}

static void *parallel_work(void *arg)
{
	struct work *work = arg;
	uint64_t index;

	while ((index = atomic_fetch_add(&work->next, 1)) < work->jobs) {
		struct err err = {0};
		int ret = work->job(work->opaque, index, &err);

		if (ret < 0)
			parallel_fail(work, ret, &err);
	}
	return NULL;
}

unsigned usable_cores(void)
{
	/* The kernel refuses a set with no room for every CPU that the host may have, also those
	 * that are not there. */
	for (unsigned cpus = CPU_SETSIZE; cpus <= MAX_CPUS; cpus *= 2) {
		size_t size = CPU_ALLOC_SIZE(cpus);
		cleanup_free cpu_set_t *set = CPU_ALLOC(cpus);

		if (set != NULL && sched_getaffinity(0, size, set) == 0)
			return (unsigned)CPU_COUNT_S(size, set);
		if (set == NULL || errno != EINVAL)
			break;
	}
	return 1;
}

int parallel_run(uint64_t jobs, int (*job)(void *opaque, uint64_t index, struct err *err),
		 void *opaque, struct err *err)
{
	struct work work = {.jobs = jobs, .job = job, .opaque = opaque};
	uint64_t threads = u64_min(u64_min(usable_cores(), MAX_THREADS), jobs);
	pthread_t helper[MAX_THREADS];
	unsigned helpers = 0;
	sigset_t all, old;

	pthread_mutex_init(&work.lock, NULL);
	sigfillset(&all);
	sigdelset(&all, SIGBUS); /* of a mapped file: blocked, it kills instead of being handled */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (helpers + 1 < threads &&
	       pthread_create(&helper[helpers], NULL, parallel_work, &work) == 0)
		helpers++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	parallel_work(&work);
	for (unsigned i = 0; i < helpers; i++)
		pthread_join(helper[i], NULL);
	pthread_mutex_destroy(&work.lock);
	return work.ret < 0 ? err_copy(err, work.ret, &work.err) : 0;
}
