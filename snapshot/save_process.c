/* See save_process.h. The copy writes its outcome into the mapping that both share, and then ends. */
#include "snapshot/save_process.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/num.h"

/* Guest and devices go first. Beside a busy vCPU on a processor of their own it gets a tenth of the time, and takes ten
 * times as long; with 5 it was a quarter, but beside other load the guest kept less than 0.7 of its speed. */
#define COPY_NICE 10

struct save_shared {
	struct progress progress;
	atomic_bool finished; /* what follows is complete */
	int ret;
	struct err err;
	char digest[DIGEST_TEXT_SIZE];
	uint64_t bytes;
};

int save_process_open(struct save_process *p, struct err *err)
{
	void *shared = mmap(NULL, sizeof(*p->shared), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int ret;

	if (shared == MAP_FAILED)
		return err_sys(err, errno, "share memory with a process");
	p->shared = shared;
	ret = progress_init(&p->shared->progress, err);
	if (ret < 0)
		save_process_close(p);
	return ret;
}

struct progress *save_process_progress(const struct save_process *p)
{
	return &p->shared->progress;
}

struct write_job {
	const struct save_copy *copy;
	struct save_shared *shared;
};

/* Only this thread is here. */
static void write_in_copy(void *opaque)
{
	const struct write_job *job = opaque;
	const struct save_copy *copy = job->copy;
	struct save_shared *shared = job->shared;

	const struct sched_param other = {0};

	/* Of a machine with real-time priority, too: there a nice value says nothing. */
	(void)sched_setscheduler(0, SCHED_OTHER, &other);
	(void)setpriority(PRIO_PROCESS, 0, COPY_NICE);
	copy->begin(copy->opaque);
	machine_copied(copy->machine);
	if (copy->params->pager != NULL)
		pager_copied(copy->params->pager);
	shared->ret = snapshot_write(copy->snapshot, copy->machine, &shared->err);
	memcpy(shared->digest, copy->params->digest, sizeof(shared->digest));
	shared->bytes = copy->params->bytes;
	atomic_store(&shared->finished, true);
}

int save_process_start(struct save_process *p, const struct save_copy *copy, struct err *err)
{
	struct write_job job = {copy, p->shared};
	const int keep[] = {p->shared->progress.fd, copy->params->fd};

	return child_start(&p->child, write_in_copy, &job, keep, ARRAY_SIZE(keep), err);
}

int save_process_end(struct save_process *p, struct save_params *params, struct err *err)
{
	const struct save_shared *shared = p->shared;

	(void)child_end(&p->child);
	if (!atomic_load(&shared->finished))
		return err_set(err, ERR_FAILED, "the process that wrote the file was killed");
	if (shared->ret < 0)
		return err_copy(err, shared->ret, &shared->err);
	memcpy(params->digest, shared->digest, sizeof(params->digest));
	params->bytes = shared->bytes;
	return 0;
}

void save_process_close(struct save_process *p)
{
	if (p->shared == NULL)
		return;
	if (p->child.pid != 0)
		progress_cancel(&p->shared->progress);
	child_forget(&p->child);
	progress_free(&p->shared->progress);
	munmap(p->shared, sizeof(*p->shared));
	*p = SAVE_PROCESS_CLOSED;
}
