/* See live_file.h. */
#include "cli/live_file.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/tempfile.h"
#include "cli/own_program.h"
#include "cli/save_meter.h"
#include "cli/wake_name.h"
#include "host/parse.h"
#include "host/paths.h"

/* Where the output of a verb goes that writes to f->output. */
static int standard_output(const struct live_file *f)
{
	return output_is_stream(f->output) ? STDOUT_FILENO : -1;
}

/* To `fd`; -1: to the output. The machine ends with us, and the save with it. */
static int save(const struct live_file *f, const struct own_machine *m, int fd, struct err *err)
{
	const char *argv[12] = {"torpor", "save", "--progress=json", "--output",
				fd >= 0 ? "-" : f->output};
	cleanup_buf struct buf said = {0};
	const struct own_program own = {.argv = argv,
					.keep = {-1, -1},
					.out = fd >= 0 ? fd : standard_output(f),
					.stop_fd = f->stop_fd};
	char level[32], as[WAKE_NAME_OPTION];
	int n = 5, ret;

	if (f->trim)
		argv[n++] = "--trim";
	if (f->flat)
		argv[n++] = "--flat";
	snprintf(level, sizeof(level), "--level=%u", f->level);
	if (f->level != 0)
		argv[n++] = level;
	if (f->output != NULL && wake_name_option(f->output, as))
		argv[n++] = as;
	argv[n++] = "--";
	argv[n] = m->name;
	/* What that verb shows nobody sees. */
	ret = save_meter_begin(f->verb, "nothing was written", &m->client, err);
	if (ret < 0)
		return ret;
	ret = own_program_do_hearing(&own, &said, err);
	if (ret == 0)
		save_meter_note_lines((const char *)said.data);
	meter_end(ret);
	return ret;
}

static int warm(const struct live_file *f, const struct own_machine *m, int fd, struct err *err)
{
	char seconds[32], lease[48], path[32];
	const char *const argv[] = {"torpor", "warm", "--output", f->output, seconds,
				    lease,    "--",   path,	  NULL};
	const struct own_program own = {.argv = argv,
					.keep = {m->lease[0], fd},
					.out = standard_output(f),
					.stop_fd = f->stop_fd};

	snprintf(seconds, sizeof(seconds), "--for=%u", f->warm);
	snprintf(lease, sizeof(lease), "--until-closed=/dev/fd/%d", m->lease[0]);
	snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	return own_program_do(&own, err);
}

int live_file_make(const struct live_file *f, const struct own_machine *m, struct err *err)
{
	cleanup_fd int fd = -1;
	int ret;

	if (f->output == NULL)
		return save(f, m, f->fd, err);
	if (f->warm == 0)
		return save(f, m, -1, err);
	/* What is not warm yet has no name, so that it is gone whatever ends us. */
	fd = output_is_stream(f->output) ? tempfile_unnamed(path_temporary(), err)
					 : tempfile_unnamed_beside(f->output, err);
	if (fd < 0)
		return fd;
	ret = save(f, m, fd, err);
	return ret < 0 ? ret : warm(f, m, fd, err);
}
