/* See test_run.h. */
#include "golden/test_run.h"

#include <errno.h>

#include "base/array.h"
#include "base/clock.h"

static bool edits_differ_from(const struct edits *edits, size_t first)
{
	for (size_t i = first; i < edits->n; i++) {
		if (edits->edit[i].kind != EDIT_KEEP)
			return true;
	}
	return false;
}

static int run_command(struct test_result *result, const struct transcript_command *command,
		       const struct test_place *place, struct test_step *step, struct err *err)
{
	const struct transcript *t = &result->transcript;
	cleanup_buf struct buf output = {0};
	size_t before = result->edits.n;
	int ret;

	if (test_is_stopped(place->host.stop_fd)) {
		err_set(err, ERR_FAILED, "interrupted");
		return -ECANCELED;
	}
	*step = (struct test_step){.line = command->line, .host = command->host};
	step->start_ns = clock_monotonic_ns() - place->origin_ns;
	if (command->host)
		ret = host_command_run(command->text, &place->host, t->timeout, &output,
				       &step->status, err);
	else
		ret = place->guest.run(place->guest.opaque, command->text, t->timeout,
				       GOLDEN_OUTPUT_MAX, &output, &step->status, err);
	step->end_ns = clock_monotonic_ns() - place->origin_ns;
	if (ret < 0)
		return err_context(err, ret, "line %zu", command->line + 1);
	ret = compare_output(&result->edits, command, (const char *)output.data, output.len,
			     step->status, err);
	step->differs = edits_differ_from(&result->edits, before);
	return ret;
}

static int run_commands(struct test_result *result, const struct test_place *place, struct err *err)
{
	const struct transcript *t = &result->transcript;
	bool told = false;

	for (size_t i = 0; i < t->ncommands; i++) {
		struct test_step *grown = array_grow(result->step, result->nsteps, sizeof(*grown));
		int ret;

		if (grown == NULL)
			return err_sys(err, ENOMEM, "note a command");
		result->step = grown;
		ret = run_command(result, &t->command[i], place, &grown[result->nsteps], err);
		if (ret < 0)
			return ret;
		if (grown[result->nsteps++].differs && !told && place->differs != NULL) {
			told = true;
			place->differs(place->opaque);
		}
	}
	return 0;
}

int test_run(struct test_result *result, const struct test_place *place, struct err *err)
{
	int ret, end;

	compare_begin(&result->edits, &result->transcript);
	ret = run_commands(result, place, err);
	end = compare_end(&result->edits, ret == 0 ? err : NULL);
	return ret < 0 ? ret : end;
}
