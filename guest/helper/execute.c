/* See execute.h. */
#include "guest/helper/execute.h"

#include <errno.h>

#include "guest/helper/base.h"
#include "guest/helper/sys.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define PATH_MAX_LEN 4096u
#define HOME_MAX_LEN 256u

static const char *find_variable(char **env, const char *name)
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

void environment_default(char **env, const char *name, char *text)
{
	if (find_variable(env, name) != NULL)
		return;
	while (*env != NULL)
		env++;
	env[0] = text;
	env[1] = NULL;
}

void environment_complete(char **env, const char *home, bool tty)
{
	static char path[] = "PATH=" DEFAULT_PATH, term[] = "TERM=xterm";
	static char home_text[HOME_MAX_LEN + 5] = "HOME=";

	text_copy(home_text + 5, sizeof(home_text) - 5, home);
	environment_default(env, "PATH", path);
	environment_default(env, "HOME", home_text);
	if (tty)
		environment_default(env, "TERM", term);
}

long find_and_execute(char *const *argv, char **env)
{
	static char file[PATH_MAX_LEN];
	const char *name = argv[0], *path = find_variable(env, "PATH");
	size_t len = text_len(name);
	long found = -ENOENT;

	for (size_t i = 0; i < len; i++) {
		if (name[i] == '/')
			return SYS3(SYS_execve, name, argv, env);
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
		ret = SYS3(SYS_execve, file, argv, env);
		if (ret == -EACCES)
			found = ret;
		else if (ret != -ENOENT && ret != -ENOTDIR)
			return ret;
	}
	return found;
}

void reset_signals(void)
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
