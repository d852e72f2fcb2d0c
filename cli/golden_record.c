/* See golden_record.h. */
#include "cli/golden_record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/tempfile.h"
#include "cli/own_machine.h"
#include "cli/own_program.h"
#include "cli/test_golden.h"
#include "cli/wake_name.h"

/* ---- the machine ---- */

/* Of a head that names a FILE. */
static int find_beginning(const struct golden_job *job, struct path *file, struct own_start *start,
			  struct err *err)
{
	const struct recording *r = job->recording;
	const struct recipe *recipe = &r->recipe;
	char digest[DIGEST_TEXT_SIZE];

	if (recipe->transcript.golden[0] != '\0') {
		start->verb = "resume";
		start->file = file->text;
		return test_golden_find(file, digest, r->result.path, &recipe->transcript,
					job->from, err);
	}
	if (job->from != NULL && recipe->from == NULL)
		return err_set(err, ERR_USAGE,
			       "--from: %s begins with a kernel, and names no appliance",
			       r->result.path);
	start->file = job->from != NULL ? job->from : recipe->from;
	return 0;
}

static int start_machine(const struct golden_job *job, struct own_machine *m, struct err *err)
{
	const struct recipe *recipe = &job->recording->recipe;
	struct own_start start = {.verb = "run",
				  .option = recipe->option,
				  .noptions = recipe->noptions,
				  .publish = recipe->publish,
				  .npublish = recipe->npublish,
				  .file_fd = -1};
	uint64_t deadline = clock_monotonic_ns() + recipe->boot * NS_PER_SECOND;
	struct path file;
	int ret = find_beginning(job, &file, &start, err);

	if (ret < 0)
		return ret;
	ret = own_machine_start(m, &start, err);
	if (ret < 0)
		return ret;
	if (recipe->await != NULL) {
		ret = own_machine_await(m, recipe->await, deadline, err);
		if (ret < 0)
			return ret;
	}
	return recipe_needs_guest(recipe) ? own_machine_await_guest(m, deadline, err) : 0;
}

static int run_commands(const struct golden_job *job, struct own_machine *m, struct err *err)
{
	const struct test_place place = {
		.guest = own_machine_guest(m),
		.host = {.env = m->env.text, .stop_fd = job->stop_fd},
		.origin_ns = clock_monotonic_ns(),
	};
	int ret = recording_run(job->recording, &place, err);

	return ret < 0 ? err_context(err, ret, "%s", job->recording->result.path) : 0;
}

/* ---- its file ---- */

/* To job->output, or to `file` if that is not -1. The machine ends with us, and the save with it. */
static int save(const struct golden_job *job, const struct own_machine *m, int file,
		struct err *err)
{
	const struct recipe *recipe = &job->recording->recipe;
	const char *argv[11] = {"torpor", "save", "--output", file >= 0 ? "-" : job->output};
	const struct own_program own = {
		.argv = argv, .keep = {-1, -1}, .out = file, .stop_fd = job->stop_fd};
	char level[32], as[WAKE_NAME_OPTION];
	int n = 4;

	if (recipe->trim)
		argv[n++] = "--trim";
	if (recipe->flat)
		argv[n++] = "--flat";
	snprintf(level, sizeof(level), "--level=%u", recipe->level);
	if (recipe->level != 0)
		argv[n++] = level;
	if (job->output != NULL && wake_name_option(job->output, as))
		argv[n++] = as;
	argv[n++] = "--";
	argv[n] = m->name;
	return own_program_do(&own, err);
}

static int warm(const struct golden_job *job, const struct own_machine *m, int file,
		struct err *err)
{
	char seconds[32], lease[48], path[32];
	const char *const argv[] = {"torpor", "warm", "--output", job->output, seconds,
				    lease,    "--",   path,	  NULL};
	const struct own_program own = {
		.argv = argv, .keep = {m->lease[0], file}, .out = -1, .stop_fd = job->stop_fd};

	snprintf(seconds, sizeof(seconds), "--for=%u", job->recording->recipe.warm);
	snprintf(lease, sizeof(lease), "--until-closed=/dev/fd/%d", m->lease[0]);
	snprintf(path, sizeof(path), "/dev/fd/%d", file);
	return own_program_do(&own, err);
}

/* What is not warm yet has no name, so that it is gone whatever ends us. */
static int save_and_warm(const struct golden_job *job, const struct own_machine *m, struct err *err)
{
	const char *slash = strrchr(job->output, '/');
	cleanup_free char *folder =
		slash == NULL ? strdup(".")
			      : strndup(job->output, (size_t)(slash - job->output) + 1);
	cleanup_fd int file = -1;
	int ret;

	if (folder == NULL)
		return err_sys(err, ENOMEM, "save");
	file = tempfile_unnamed(folder, err);
	if (file < 0)
		return file;
	ret = save(job, m, file, err);
	return ret < 0 ? ret : warm(job, m, file, err);
}

int golden_make(const struct golden_job *job, struct err *err)
{
	cleanup_own_machine struct own_machine m;
	int ret = own_machine_open(&m, "record", job->stop_fd, err);

	if (ret < 0)
		return ret;
	ret = start_machine(job, &m, err);
	if (ret < 0)
		return ret;
	ret = run_commands(job, &m, err);
	if (ret < 0)
		return ret;
	if (recording_differs(job->recording)) {
		ret = job->update ? recording_accept(job->recording, err) : 0;
		if (ret < 0 || !job->update)
			return ret;
	}
	if (job->output == NULL || job->recording->recipe.warm == 0)
		return save(job, &m, job->output == NULL ? job->file : -1, err);
	return save_and_warm(job, &m, err);
}
