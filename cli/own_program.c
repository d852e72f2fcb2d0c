/* See own_program.h. */
#include "cli/own_program.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "golden/host_command.h"

#define PROGRAM "/proc/self/exe"
/* A start or a save of a machine: longer than anything takes that is not stuck. */
#define VERB_SECONDS 3600u

int own_program_run(const struct own_program *own, struct buf *said, int *wstatus, struct err *err)
{
	struct host_program program = {.path = PROGRAM,
				       .argv = own->argv,
				       .env = environ,
				       .keep = {own->keep[0], own->keep[1]}};
	bool timed_out = false;
	cleanup_fd int in = -1;
	int ends[2], ret;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	in = ends[0];
	program.messages = ends[1];
	program.out = own->out >= 0 ? own->out : ends[1];
	ret = host_program_spawn(&program, &pid);
	close(ends[1]);
	if (ret != 0)
		return err_sys(err, ret, "run torpor %s", own->argv[1]);
	ret = host_program_follow(
		pid,
		&(struct host_follow){.fd = in,
				      .stop_fd = own->stop_fd,
				      .gently = true,
				      .seconds = own->endless ? UINT32_MAX : VERB_SECONDS},
		said, wstatus, &timed_out);
	buf_add(said, "", 1);
	if (ret == 0 && buf_failed(said))
		ret = -ENOMEM;
	return ret < 0 ? err_sys(err, -ret, "run torpor %s", own->argv[1]) : 0;
}

int own_program_failed(const struct buf *said, int wstatus, struct err *err)
{
	char *text = (char *)said->data, *line;
	size_t len = strlen(text);

	if (len > 0 && text[len - 1] == '\n')
		text[len - 1] = '\0';
	line = strrchr(text, '\n');
	line = line != NULL ? line + 1 : text;
	if (strncmp(line, "torpor: ", 8) == 0)
		line += 8;
	/* What it said before it was killed is not why. */
	if (WIFSIGNALED(wstatus))
		return err_set(err, ERR_FAILED, "its process was killed by signal %d%s%s",
			       WTERMSIG(wstatus), line[0] != '\0' ? "; it had said: " : "", line);
	if (line[0] == '\0')
		return err_set(err, ERR_FAILED, "its process ended with status %d, without a word",
			       WEXITSTATUS(wstatus));
	return err_set(err, ERR_FAILED, "%s", line);
}

int own_program_do_hearing(const struct own_program *own, struct buf *said, struct err *err)
{
	int wstatus = 0;
	int ret = own_program_run(own, said, &wstatus, err);

	if (ret < 0)
		return ret;
	if (wstatus == 0)
		return 0;
	ret = own_program_failed(said, wstatus, err);
	return WIFSIGNALED(wstatus) ? err_context(err, ret, "torpor %s", own->argv[1]) : ret;
}

int own_program_do(const struct own_program *own, struct err *err)
{
	cleanup_buf struct buf said = {0};

	return own_program_do_hearing(own, &said, err);
}
