/* The child of the helper: user, folder, terminal, variables, and then execve(2). See helper.h. */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include "guest/helper/helper.h"
#include "guest/helper/sys.h"

#define GROUPS_MAX   64u
#define LINE_MAX_LEN 1024u
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define PATH_MAX_LEN 4096u

struct account {
	uint32_t uid, gid;
	char name[64]; /* "" without an entry */
	char home[256];
	uint32_t groups[GROUPS_MAX];
	size_t ngroups;
};

static int report_fd;

static _Noreturn void child_fail(uint8_t kind, long error)
{
	uint8_t report[5] = {kind};

	exec_put32(report + 1, (uint32_t)error);
	SYS3(SYS_write, report_fd, report, sizeof(report));
	for (;;)
		SYS1(SYS_exit_group, 127);
}

size_t text_len(const char *text)
{
	size_t n = 0;

	while (text[n] != '\0')
		n++;
	return n;
}

bool text_equal(const char *a, const char *b)
{
	while (*a != '\0' && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

static void text_copy(char *to, size_t size, const char *from)
{
	size_t n = 0;

	for (; n + 1 < size && from[n] != '\0'; n++)
		to[n] = from[n];
	to[n] = '\0';
}

/* The whole text as a number. */
static bool text_number(const char *text, uint32_t *number)
{
	uint64_t n = 0;

	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return false;
		n = n * 10 + (uint64_t)(*text - '0');
		if (n > UINT32_MAX - 1)
			return false;
	}
	*number = (uint32_t)n;
	return true;
}

/* Cut off and return what is before the next `separator`; NULL at the end. */
static char *text_field(char **rest, char separator)
{
	char *field = *rest, *at = field;

	if (field == NULL)
		return NULL;
	while (*at != '\0' && *at != separator)
		at++;
	*rest = *at == '\0' ? NULL : at + 1;
	*at = '\0';
	return field;
}

/* A file of accounts, line by line; what is longer than a line may be is skipped. */
struct lines {
	int fd;
	char data[4096];
	size_t at, len;
	char line[LINE_MAX_LEN];
};

static bool next_line(struct lines *l)
{
	size_t n = 0;

	for (;;) {
		if (l->at == l->len) {
			long got = SYS3(SYS_read, l->fd, l->data, sizeof(l->data));

			if (got <= 0)
				return false;
			l->at = 0;
			l->len = (size_t)got;
		}
		if (l->data[l->at] == '\n')
			break;
		if (n < sizeof(l->line))
			l->line[n++] = l->data[l->at];
		l->at++;
	}
	l->at++;
	if (n == sizeof(l->line))
		n = 0;
	l->line[n] = '\0';
	return true;
}

static struct lines lines;

static bool open_lines(const char *path)
{
	lines.at = lines.len = 0;
	lines.fd = (int)SYS4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	return lines.fd >= 0;
}

/* By name or number, in /etc/passwd. */
static bool find_user(const char *user, struct account *a)
{
	uint32_t number;
	bool numeric = text_number(user, &number), found = false;

	if (!open_lines("/etc/passwd"))
		return false;
	while (!found && next_line(&lines)) {
		char *rest = lines.line, *name = text_field(&rest, ':');
		char *uid, *gid, *home;

		text_field(&rest, ':');
		uid = text_field(&rest, ':');
		gid = text_field(&rest, ':');
		text_field(&rest, ':');
		home = text_field(&rest, ':');
		if (home == NULL || !text_number(uid, &a->uid) || !text_number(gid, &a->gid))
			continue;
		found = text_equal(name, user) || (numeric && a->uid == number);
		text_copy(a->name, sizeof(a->name), found ? name : "");
		text_copy(a->home, sizeof(a->home), home);
	}
	SYS1(SYS_close, lines.fd);
	return found;
}

static bool is_member(char *members, const char *name)
{
	char *member;

	while ((member = text_field(&members, ',')) != NULL) {
		if (text_equal(member, name))
			return true;
	}
	return false;
}

/* /etc/group: the groups that `name` is a member of, and the number of `group`, NULL: none asked.
 * Returns whether that was found. */
static bool find_groups(const char *name, const char *group, struct account *a)
{
	bool found = false;

	if (!open_lines("/etc/group"))
		return false;
	while (next_line(&lines)) {
		char *rest = lines.line, *text = text_field(&rest, ':'), *gid, *members;
		uint32_t number;

		text_field(&rest, ':');
		gid = text_field(&rest, ':');
		members = rest;
		if (gid == NULL || !text_number(gid, &number))
			continue;
		if (group != NULL && text_equal(text, group)) {
			a->gid = number;
			found = true;
		}
		if (name[0] != '\0' && a->ngroups < GROUPS_MAX && is_member(members, name))
			a->groups[a->ngroups++] = number;
	}
	SYS1(SYS_close, lines.fd);
	return found;
}

/* USER[:GROUP], names or numbers; a number needs no entry. */
static void find_account(char *text, struct account *a)
{
	char *group = text, *user = text_field(&group, ':');
	uint32_t number;

	if (!find_user(user, a)) {
		if (!text_number(user, &a->uid))
			child_fail(EXEC_NO_USER, 0);
		a->gid = 0;
		text_copy(a->home, sizeof(a->home), "/");
		a->name[0] = '\0';
	}
	if (!find_groups(a->name, group, a) && group != NULL) {
		if (!text_number(group, &number))
			child_fail(EXEC_NO_USER, 0);
		a->gid = number;
	}
}

static void become(const struct account *a)
{
	long ret = SYS2(SYS_setgroups, a->ngroups, a->groups);

	if (ret == 0)
		ret = SYS1(SYS_setgid, a->gid);
	if (ret == 0)
		ret = SYS1(SYS_setuid, a->uid);
	if (ret < 0)
		child_fail(EXEC_NO_USER, -ret);
}

/* --- variables --- */

static const char *variable(char **env, const char *name)
{
	size_t len = text_len(name);

	for (; *env != NULL; env++) {
		size_t i = 0;

		while (i < len && (*env)[i] == name[i])
			i++;
		if (i == len && (*env)[len] == '=')
			return *env + len + 1;
	}
	return NULL;
}

/* The caller's array has room for three more. */
static void add_default(char **env, const char *name, char *text)
{
	if (variable(env, name) != NULL)
		return;
	while (*env != NULL)
		env++;
	env[0] = text;
	env[1] = NULL;
}

static void complete_environment(const struct command *c, const struct account *a)
{
	static char path[] = "PATH=" DEFAULT_PATH, term[] = "TERM=xterm";
	static char home[sizeof(a->home) + 5] = "HOME=";

	text_copy(home + 5, sizeof(home) - 5, a->home);
	add_default(c->env, "PATH", path);
	add_default(c->env, "HOME", home);
	if ((c->flags & EXEC_FLAG_TTY) != 0)
		add_default(c->env, "TERM", term);
}

/* --- the command --- */

/* As execvp(3) looks for it, but for scripts without a first line. */
static long find_and_execute(const struct command *c)
{
	static char file[PATH_MAX_LEN];
	const char *name = c->argv[0], *path = variable(c->env, "PATH");
	size_t len = text_len(name);
	long found = -ENOENT;

	for (size_t i = 0; i < len; i++) {
		if (name[i] == '/')
			return SYS3(SYS_execve, name, c->argv, c->env);
	}
	while (len > 0 && path != NULL && *path != '\0') {
		size_t n = 0;
		long ret;

		for (; *path != '\0' && *path != ':'; path++) {
			if (n < sizeof(file))
				file[n++] = *path;
		}
		path += *path == ':';
		if (n + len + 2 > sizeof(file))
			continue;
		if (n > 0)
			file[n++] = '/';
		text_copy(file + n, sizeof(file) - n, name);
		ret = SYS3(SYS_execve, file, c->argv, c->env);
		if (ret == -EACCES)
			found = ret;
		else if (ret != -ENOENT && ret != -ENOTDIR)
			return ret;
	}
	return found;
}

/* As after login: nothing is ignored or blocked, whatever the agent does. */
static void reset_signals(void)
{
	static const struct {
		void *handler;
		unsigned long flags;
		void *restorer;
		uint64_t mask;
	} by_default;
	uint64_t none = 0;

	for (int i = 1; i <= 64; i++)
		SYS4(SYS_rt_sigaction, i, &by_default, NULL, sizeof(none));
	SYS4(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, &none, NULL, sizeof(none));
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
		find_account(c->user, &account);
		if ((c->flags & EXEC_FLAG_TTY) != 0)
			SYS3(SYS_fchown, 0, account.uid, -1);
		become(&account);
	} else if (!find_user(root, &account)) {
		text_copy(account.home, sizeof(account.home), "/");
	}
	complete_environment(c, &account);
	ret = SYS1(SYS_chdir, folder);
	if (ret < 0)
		child_fail(EXEC_NO_FOLDER, -ret);
	child_fail(EXEC_NO_COMMAND, -find_and_execute(c));
}
