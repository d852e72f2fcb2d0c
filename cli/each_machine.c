/* See each_machine.h. The threads wait for other processes, so there may be many more than
 * cores. */
#include "cli/each_machine.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/command.h"

#define MAX_THREADS 64u

struct crowd {
	atomic_size_t next;
	size_t n;
	void (*fn)(size_t index, void *opaque);
	void *opaque;
};

static void *crowd_thread(void *arg)
{
	struct crowd *crowd = arg;
	size_t index;

	while ((index = atomic_fetch_add(&crowd->next, 1)) < crowd->n)
		crowd->fn(index, crowd->opaque);
	return NULL;
}

void each_at_once(size_t n, void (*fn)(size_t index, void *opaque), void *opaque)
{
	struct crowd crowd = {.n = n, .fn = fn, .opaque = opaque};
	pthread_t thread[MAX_THREADS];
	unsigned started = 0;

	while (started < MAX_THREADS && started + 1 < n &&
	       pthread_create(&thread[started], NULL, crowd_thread, &crowd) == 0)
		started++;
	crowd_thread(&crowd);
	while (started > 0)
		pthread_join(thread[--started], NULL);
}

struct outcome {
	const char *name;
	int ret;
	struct err err;
};

struct calls {
	each_machine_fn *fn;
	void *opaque;
	struct outcome *outcome;
};

static void call_one(size_t index, void *opaque)
{
	const struct calls *calls = opaque;
	struct outcome *outcome = &calls->outcome[index];

	outcome->ret = calls->fn(outcome->name, calls->opaque, &outcome->err);
}

static bool is_among(const struct outcome *outcome, size_t n, const char *name)
{
	while (n > 0 && strcmp(outcome[n - 1].name, name) != 0)
		n--;
	return n > 0;
}

int each_machine(struct options *o, each_machine_fn *fn, void *opaque, struct err *err)
{
	cleanup_free struct outcome *outcome = calloc((size_t)o->argc, sizeof(*outcome));
	struct calls calls = {.fn = fn, .opaque = opaque, .outcome = outcome};
	const char *name;
	size_t n = 0;
	int worst = 0;

	if (outcome == NULL)
		return err_sys(err, ENOMEM, "list the machines");
	while ((name = options_operand(o)) != NULL) {
		if (!is_among(outcome, n, name))
			outcome[n++].name = name;
	}
	if (n == 0)
		return options_missing(o, "NAME", err);
	if (n == 1)
		return fn(outcome[0].name, opaque, err);
	each_at_once(n, call_one, &calls);
	for (size_t i = 0; i < n; i++) {
		int status;

		if (outcome[i].ret >= 0)
			continue;
		command_print_error(o->verb, &outcome[i].err);
		status = command_exit_status(&outcome[i].err);
		worst = status > worst ? status : worst;
	}
	return worst;
}
