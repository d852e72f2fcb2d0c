/* See runner.h. */
#include "golden/runner.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "golden/tree_check.h"

#define SAVED_SUFFIX   ".torpor"
#define LISTING_SUFFIX ".files"

struct runner {
	const struct runner_params *params;
	struct test_report *report;
	uint64_t origin_ns;

	pthread_mutex_t lock; /* guards what follows; not held while a test runs */
	pthread_cond_t changed;
	size_t *queue; /* owned: results that wait for a worker, the next one last */
	size_t nqueue;
	unsigned starting; /* workers that have taken a test, and not yet a machine for it */
	unsigned refused;  /* of those: there is no room for theirs, and they wait for the others */
	unsigned running;  /* workers that have a machine */
	bool *finished;	   /* owned: of the results */
	size_t told;	   /* so many results were told, in order */
	bool *saved;	   /* owned: of the tests: a machine of it was saved */
	struct runner_state state;
};

struct worker {
	struct runner *runner;
	unsigned number;
	bool has_machine;
	pthread_t thread;
	bool started;
};

/* The test that a worker runs. */
struct job {
	struct runner *runner;
	struct test_result *result;
	size_t test; /* its index in the list */
};

/* ---- who runs what ---- */

/* The next result to be made, or false: there is none left. One that another worker has taken may
 * come back as long as that has no machine. */
static bool take_result(struct runner *r, size_t *index)
{
	bool taken;

	pthread_mutex_lock(&r->lock);
	while (r->nqueue == 0 && r->starting > 0)
		pthread_cond_wait(&r->changed, &r->lock);
	taken = r->nqueue > 0 && !test_is_stopped(r->params->stop_fd);
	if (taken) {
		*index = r->queue[--r->nqueue];
		r->starting++;
		r->state.path = r->report->result[*index].path;
		if (r->params->progress != NULL)
			r->params->progress(r->params->opaque, &r->state);
	}
	pthread_mutex_unlock(&r->lock);
	return taken;
}

/* Its machine is there, or will not be. */
static void note_started(struct worker *w, bool has_machine)
{
	struct runner *r = w->runner;

	pthread_mutex_lock(&r->lock);
	r->starting--;
	r->running += has_machine && !w->has_machine;
	r->running -= !has_machine && w->has_machine;
	w->has_machine = has_machine;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

/* A worker without room for its machine gives its test to one that has a machine. Who is just getting
 * one may have taken the room. */
static bool hand_back(struct worker *w, size_t index, const struct err *why)
{
	struct runner *r = w->runner;
	bool others;

	pthread_mutex_lock(&r->lock);
	r->refused++;
	pthread_cond_broadcast(&r->changed);
	while (!(others = r->running > (w->has_machine ? 1u : 0u)) && r->starting > r->refused)
		pthread_cond_wait(&r->changed, &r->lock);
	r->refused--;
	if (others) {
		r->queue[r->nqueue++] = index;
		if (r->params->retired != NULL)
			r->params->retired(r->params->opaque, w->number, why);
	}
	pthread_mutex_unlock(&r->lock);
	return others;
}

/* There was no memory for its machine in the middle of a test, which is not run again: what it did on
 * this host was done. The worker ends if that leaves others, for they have more room then. */
static bool worker_retires(struct worker *w, const struct err *why)
{
	struct runner *r = w->runner;
	bool retires;

	pthread_mutex_lock(&r->lock);
	retires = r->running > 1;
	if (retires) {
		r->running--;
		w->has_machine = false;
		if (r->params->retired != NULL)
			r->params->retired(r->params->opaque, w->number, why);
	}
	pthread_mutex_unlock(&r->lock);
	return retires;
}

static void finish_result(struct runner *r, size_t index)
{
	const struct test_result *result = &r->report->result[index];

	pthread_mutex_lock(&r->lock);
	r->finished[index] = true;
	r->state.done++;
	r->state.failed += result->outcome == TEST_FAILED;
	r->state.broken += result->outcome == TEST_BROKEN;
	for (; r->told < r->state.tests && r->finished[r->told]; r->told++) {
		if (r->params->result != NULL)
			r->params->result(r->params->opaque, &r->state,
					  &r->report->result[r->told]);
	}
	if (r->params->progress != NULL)
		r->params->progress(r->params->opaque, &r->state);
	pthread_mutex_unlock(&r->lock);
}

/* ---- a machine of a test that fails ---- */

/* "../tests/below/web.t" is "tests-below-web". */
static char *saved_name(const char *path)
{
	size_t len;
	char *name;

	while (path[0] == '/' ||
	       (path[0] == '.' && strchr("./", path[1]) != NULL && path[1] != '\0'))
		path++;
	len = strlen(path);
	if (len > 2 && strcmp(path + len - 2, ".t") == 0)
		len -= 2;
	name = strndup(path, len);
	for (char *at = name; at != NULL && (at = strchr(at, '/')) != NULL;)
		*at = '-';
	return name;
}

/* A file of a test in a folder: in no two tests' place. */
static char *saved_path(const struct runner *r, size_t test, const char *folder, const char *suffix)
{
	const struct test_list *tests = r->params->tests;
	cleanup_free char *name = saved_name(tests->path[test]);
	unsigned same = 1;
	char *path;
	int len;

	for (size_t i = 0; name != NULL && i < test; i++) {
		cleanup_free char *other = saved_name(tests->path[i]);

		same += other != NULL && strcmp(other, name) == 0;
	}
	if (name == NULL)
		return NULL;
	if (same > 1)
		len = asprintf(&path, "%s/%s.%u%s", folder, name, same, suffix);
	else
		len = asprintf(&path, "%s/%s%s", folder, name, suffix);
	return len < 0 ? NULL : path;
}

static int save_machine(const struct job *job, const char *path, struct err *err)
{
	const struct runner_params *params = job->runner->params;
	struct test_result *result = job->result;

	if (path == NULL)
		return err_sys(err, ENOMEM, "save");
	if (mkdir(params->failed, 0777) < 0 && errno != EEXIST)
		return err_sys(err, errno, "%s", params->failed);
	return params->machines->save(params->machines->opaque, result->worker, path,
				      &result->saved_bytes, err);
}

/* Of a test that runs several times one is enough. */
static void save_failed(void *opaque)
{
	const struct job *job = opaque;
	struct runner *r = job->runner;
	cleanup_free char *path = NULL;
	struct err err;
	bool wanted;

	pthread_mutex_lock(&r->lock);
	wanted = !r->saved[job->test];
	r->saved[job->test] = true;
	pthread_mutex_unlock(&r->lock);
	if (!wanted)
		return;
	path = saved_path(r, job->test, r->params->failed, SAVED_SUFFIX);
	if (save_machine(job, path, &err) < 0)
		job->result->save_error = strdup(err.text);
	else
		job->result->saved = take_ptr(path);
}

/* ---- one test ---- */

/* With what differs in the guest's files behind it. */
static int make_diff(struct test_result *result, const struct buf *files, struct err *err)
{
	struct buf diff = {0};

	edits_diff(&result->edits, result->path, result->path, &diff);
	if (files->len > 0)
		buf_add(&diff, files->data, files->len);
	result->diff_len = diff.len;
	buf_add(&diff, "", 1);
	if (buf_failed(&diff)) {
		buf_free(&diff);
		return err_sys(err, ENOMEM, "tell the difference");
	}
	result->diff = (char *)diff.data;
	return 0;
}

static int judge(const struct runner *r, struct test_result *result, const struct buf *files,
		 struct err *err)
{
	int ret;

	if (!edits_differ(&result->edits) && files->len == 0) {
		result->outcome = TEST_PASSED;
		return 0;
	}
	ret = make_diff(result, files, err);
	if (ret < 0)
		return ret;
	result->outcome = r->params->update ? TEST_UPDATED : TEST_FAILED;
	if (!r->params->update || !edits_differ(&result->edits))
		return 0;
	return test_file_rewrite(result->path, result->mode, &result->edits, err);
}

/* What differs from the accepted listing is a difference of the test. */
static int check_files(struct job *job, const struct test_place *place, struct buf *diff,
		       struct err *err)
{
	const struct runner_params *params = job->runner->params;
	cleanup_free char *path = NULL;
	int ret;

	if (params->check_fs == NULL)
		return 0;
	path = saved_path(job->runner, job->test, params->check_fs, LISTING_SUFFIX);
	if (path == NULL)
		return err_sys(err, ENOMEM, "compare the guest's files");
	if (params->update && mkdir(params->check_fs, 0777) < 0 && errno != EEXIST)
		return err_sys(err, errno, "%s", params->check_fs);
	ret = tree_check(path, &place->guest, params->update, diff, err);
	if (ret == 0 && diff->len > 0 && place->differs != NULL)
		place->differs(place->opaque);
	return ret;
}

/* In its world. */
static int run_here(struct job *job, struct test_world *world, struct err *err)
{
	struct runner *r = job->runner;
	const struct test_machines *machines = r->params->machines;
	struct test_result *result = job->result;
	const struct test_place place = {
		.guest = world->guest,
		.host = {.env = world->env, .stop_fd = r->params->stop_fd},
		.origin_ns = r->origin_ns,
		.differs = r->params->failed != NULL && !r->params->update ? save_failed : NULL,
		.opaque = job,
	};
	cleanup_buf struct buf files = {0};
	int ret;

	result->golden = take_ptr(world->golden);
	ret = test_run(result, &place, err);
	if (ret == 0)
		ret = check_files(job, &place, &files, err);
	machines->look(machines->opaque, result->worker, result);
	return ret < 0 ? ret : judge(r, result, &files, err);
}

/* Only one that is to be reviewed keeps its text. */
static void drop_text(struct test_result *result)
{
	if (result->outcome == TEST_FAILED)
		return;
	edits_free(&result->edits);
	transcript_free(&result->transcript);
}

/* Returns false when the worker is to end: another one makes the result, if it is not there. */
static bool make_result(struct worker *w, size_t index)
{
	struct runner *r = w->runner;
	const struct test_machines *machines = r->params->machines;
	struct test_result *result = &r->report->result[index];
	struct job job = {r, result, index % r->params->tests->n};
	struct test_world world = {0};
	struct err err = {0};
	bool goes_on = true;
	int ret;

	result->worker = w->number;
	result->start_ns = clock_monotonic_ns() - r->origin_ns;
	ret = test_file_read(result->path, &result->transcript, &result->mode, &err);
	if (ret < 0) {
		note_started(w, w->has_machine);
	} else {
		ret = machines->begin(machines->opaque, w->number, result->path,
				      &result->transcript, &world, &err);
		/* Who takes the test next reads it anew. */
		if (ret < 0 && world.no_room)
			transcript_free(&result->transcript);
		if (ret < 0 && world.no_room && hand_back(w, index, &err)) {
			note_started(w, false);
			return false;
		}
		note_started(w, ret == 0);
	}
	if (ret == 0) {
		ret = run_here(&job, &world, &err);
		goes_on = ret != -ENOMEM || !worker_retires(w, &err);
	}
	if (ret < 0) {
		result->outcome = TEST_BROKEN;
		result->error = strdup(ret == -ECANCELED ? "interrupted" : err.text);
	}
	result->end_ns = clock_monotonic_ns() - r->origin_ns;
	drop_text(result);
	finish_result(r, index);
	return goes_on;
}

static void *worker_main(void *opaque)
{
	struct worker *w = opaque;
	const struct test_machines *machines = w->runner->params->machines;
	size_t index;

	while (take_result(w->runner, &index)) {
		if (!make_result(w, index))
			break;
	}
	pthread_mutex_lock(&w->runner->lock);
	w->runner->running -= w->has_machine;
	pthread_mutex_unlock(&w->runner->lock);
	machines->end(machines->opaque, w->number);
	return NULL;
}

/* ---- all of it ---- */

static int make_results(struct runner *r, struct err *err)
{
	const struct runner_params *params = r->params;
	const size_t tests = params->tests->n, n = tests * params->rounds;

	r->report->result = calloc(n + 1, sizeof(*r->report->result));
	r->queue = calloc(n + 1, sizeof(*r->queue));
	r->finished = calloc(n + 1, sizeof(*r->finished));
	r->saved = calloc(tests + 1, sizeof(*r->saved));
	if (r->report->result == NULL || r->queue == NULL || r->finished == NULL ||
	    r->saved == NULL)
		return err_sys(err, ENOMEM, "run the tests");
	for (; r->report->n < n; r->report->n++) {
		struct test_result *result = &r->report->result[r->report->n];

		result->path = strdup(params->tests->path[r->report->n % tests]);
		result->round = (unsigned)(r->report->n / tests) + 1;
		if (result->path == NULL)
			return err_sys(err, ENOMEM, "run the tests");
	}
	for (r->nqueue = 0; r->nqueue < n; r->nqueue++)
		r->queue[r->nqueue] = n - 1 - r->nqueue;
	r->state.tests = n;
	return 0;
}

/* Once it was stopped: what did not run is no result. */
static void drop_unfinished(struct runner *r)
{
	struct test_report *report = r->report;
	size_t kept = 0;

	for (size_t i = 0; i < report->n; i++) {
		if (!r->finished[i]) {
			test_result_free(&report->result[i]);
			continue;
		}
		if (kept != i) {
			report->result[kept] = report->result[i];
			report->result[i] = (struct test_result){0};
		}
		if (report->result[kept].edits.transcript != NULL)
			report->result[kept].edits.transcript = &report->result[kept].transcript;
		/* Behind one that did not run. */
		if (i >= r->told && r->params->result != NULL)
			r->params->result(r->params->opaque, &r->state, &report->result[kept]);
		kept++;
	}
	report->interrupted = kept < report->n;
	report->n = kept;
	for (size_t i = 0; i < kept; i++)
		report->interrupted |= report->result[i].outcome == TEST_BROKEN &&
				       test_is_stopped(r->params->stop_fd);
}

static int run_workers(struct runner *r, struct err *err)
{
	const unsigned n = r->params->workers;
	cleanup_free struct worker *worker = calloc(n, sizeof(*worker));
	int ret = 0;

	if (worker == NULL)
		return err_sys(err, ENOMEM, "run the tests");
	for (unsigned i = 0; i < n; i++) {
		worker[i] = (struct worker){.runner = r, .number = i + 1};
		ret = pthread_create(&worker[i].thread, NULL, worker_main, &worker[i]);
		if (ret != 0)
			break;
		worker[i].started = true;
	}
	for (unsigned i = 0; i < n; i++) {
		if (worker[i].started)
			pthread_join(worker[i].thread, NULL);
	}
	/* Fewer have done it. */
	return worker[0].started ? 0 : err_sys(err, ret, "thread");
}

int runner_run(const struct runner_params *params, struct test_report *report, struct err *err)
{
	struct runner r = {
		.params = params,
		.report = report,
		.origin_ns = clock_monotonic_ns(),
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
		.state = {.report = report},
	};
	int ret;

	*report = (struct test_report){
		.begun = time(NULL),
		.workers = params->workers,
		.rounds = params->rounds,
		.shard = params->shard,
		.shards = params->shards,
	};
	ret = make_results(&r, err);
	if (ret == 0)
		ret = run_workers(&r, err);
	if (ret == 0)
		drop_unfinished(&r);
	report->end_ns = clock_monotonic_ns() - r.origin_ns;
	free(r.queue);
	free(r.finished);
	free(r.saved);
	return ret;
}
