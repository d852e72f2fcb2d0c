/* See golden_record.h. */
#include "cli/golden_record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/live_file.h"
#include "cli/test_golden.h"

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

static int await_guest(struct own_machine *m, const struct recipe *recipe, uint64_t deadline,
		       struct err *err)
{
	struct readiness condition[2];
	struct own_wait wait = {.verb = "golden", .option = "await:", .condition = condition};
	uint64_t now = clock_monotonic_ns();
	int ret;

	wait.timeout_s = now < deadline ? (deadline - now) / NS_PER_SECOND + 1 : 1;
	if (recipe->await != NULL)
		condition[wait.n++] = (struct readiness){.kind = READY_TEXT, .text = recipe->await};
	if (recipe_needs_guest(recipe))
		condition[wait.n++] = (struct readiness){.kind = READY_EXEC, .text = ":"};
	ret = own_machine_await(m, &wait, err);
	return ret < 0 && ret != -ECANCELED ? own_machine_add_last_line(m, ret, err) : ret;
}

static int start_machine(const struct golden_job *job, struct own_machine *m, struct err *err)
{
	const struct recipe *recipe = &job->recording->recipe;
	struct own_start start = {.verb = "run",
				  .option = recipe->option,
				  .noptions = recipe->noptions,
				  .publish = recipe->transcript.publish,
				  .npublish = recipe->transcript.npublish,
				  .file_fd = -1};
	uint64_t deadline = clock_monotonic_ns() + recipe->boot * NS_PER_SECOND;
	struct path file;
	int ret = find_beginning(job, &file, &start, err);

	if (ret < 0)
		return ret;
	if (recipe->await != NULL && strlen(recipe->await) > READINESS_TEXT_MAX)
		return err_set(err, ERR_USAGE, "await: is longer than %u bytes",
			       READINESS_TEXT_MAX);
	ret = own_machine_start(m, &start, err);
	if (ret < 0)
		return ret;
	ret = await_guest(m, recipe, deadline, err);
	/* Its clock, too, in one that begins with a live file. */
	if (ret < 0 || !recipe_needs_guest(recipe))
		return ret;
	return own_machine_await_wake(m, deadline, err);
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

int golden_make(const struct golden_job *job, struct err *err)
{
	const struct recipe *recipe = &job->recording->recipe;
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
	return live_file_make(&(struct live_file){.verb = "golden",
						  .output = job->output,
						  .fd = job->file,
						  .trim = recipe->trim,
						  .flat = recipe->flat,
						  .level = recipe->level,
						  .warm = recipe->warm,
						  .stop_fd = job->stop_fd},
			      &m, err);
}
