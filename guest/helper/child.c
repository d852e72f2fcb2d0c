/* The child of the helper: user, folder, terminal, variables, and then execve(2). See helper.h. */
#include <sys/ioctl.h>
#include <sys/resource.h>

#include "guest/helper/account.h"
#include "guest/helper/execute.h"
#include "guest/helper/helper.h"
#include "guest/helper/sys.h"

static int report_fd;

static _Noreturn void child_fail(uint8_t kind, long error)
{
	uint8_t report[5] = {kind};

	exec_put32(report + 1, (uint32_t)error);
	SYS3(SYS_write, report_fd, report, sizeof(report));
	for (;;)
		SYS1(SYS_exit_group, 127);
}

_Noreturn void child_run(const struct command *c, const struct child_files *files)
{
	const struct {
		uint64_t soft, hard;
	} limit = {files->files_soft, files->files_hard};
	static struct account account = {.home = "/root"};
	const char *folder = c->folder[0] != '\0' ? c->folder : "/";
	static char root[] = "0";
	long ret;

	report_fd = files->report;
	SYS0(SYS_setsid);
	SYS3(SYS_dup3, files->in, 0, 0);
	SYS3(SYS_dup3, files->out, 1, 0);
	SYS3(SYS_dup3, files->err, 2, 0);
	if ((c->flags & EXEC_FLAG_TTY) != 0)
		SYS3(SYS_ioctl, 0, TIOCSCTTY, 0);
	reset_signals();
	SYS1(SYS_umask, 022);
	SYS4(SYS_prlimit64, 0, RLIMIT_NOFILE, &limit, NULL);
	if (c->user[0] != '\0') {
		if (!account_find(ACCOUNT_PASSWD, ACCOUNT_GROUP, c->user, &account))
			child_fail(EXEC_NO_USER, 0);
		if ((c->flags & EXEC_FLAG_TTY) != 0)
			SYS3(SYS_fchown, 0, account.uid, -1);
		ret = account_become(&account);
		if (ret < 0)
			child_fail(EXEC_NO_USER, -ret);
	} else if (!account_of_user(ACCOUNT_PASSWD, root, &account)) {
		text_copy(account.home, sizeof(account.home), "/");
	}
	environment_complete(c->env, account.home, (c->flags & EXEC_FLAG_TTY) != 0);
	ret = SYS1(SYS_chdir, folder);
	if (ret < 0)
		child_fail(EXEC_NO_FOLDER, -ret);
	child_fail(EXEC_NO_COMMAND, -find_and_execute(c->argv, c->env));
}
