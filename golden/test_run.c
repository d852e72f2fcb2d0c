/* See test_run.h. */
#include "golden/test_run.h"

static int run_command(const struct transcript *t, const struct transcript_command *command,
		       const struct test_guest *guest, struct test_host *host, struct edits *edits,
		       struct err *err)
{
	cleanup_buf struct buf output = {0};
	int status = 0, ret;

	if (command->host)
		ret = host_command_run(command->text, host, t->timeout, &output, &status, err);
	else
		ret = guest->run(guest->opaque, command->text, t->timeout, &output, &status, err);
	if (ret < 0)
		return err_context(err, ret, "line %zu", command->line + 1);
	return compare_output(edits, command, (const char *)output.data, output.len, status, err);
}

int test_run(const struct transcript *t, const struct test_guest *guest, struct test_host *host,
	     struct edits *edits, struct err *err)
{
	int ret = 0, end;

	compare_begin(edits, t);
	for (size_t i = 0; i < t->ncommands && ret == 0; i++)
		ret = run_command(t, &t->command[i], guest, host, edits, err);
	end = compare_end(edits, ret == 0 ? err : NULL);
	return ret < 0 ? ret : end;
}
