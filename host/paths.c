/* See paths.h. */
#include "host/paths.h"

#include <errno.h>
#include <pthread.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/cas.h"

static int path_set(struct path *path, struct err *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int path_set(struct path *path, struct err *err, const char *fmt, ...)
{
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(path->text, sizeof(path->text), fmt, ap);
	va_end(ap);
	if (len < 0 || (size_t)len >= sizeof(path->text))
		return err_sys(err, ENAMETOOLONG, "%.80s…", path->text);
	return 0;
}

/* XDG: a relative path in these variables is to be ignored. */
static const char *absolute_env(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && value[0] == '/' ? value : NULL;
}

static char account_home[PATH_MAX];

/* Once: a machine asks again when it can read no accounts any more. */
static void find_account_home(void)
{
	const struct passwd *user = getpwuid(getuid());

	snprintf(account_home, sizeof(account_home), "%s", user != NULL ? user->pw_dir : "/");
}

static const char *home(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const char *dir = absolute_env("HOME");

	if (dir != NULL)
		return dir;
	pthread_once(&once, find_account_home);
	return account_home;
}

/* Of root in a user namespace: the user that it is outside. */
static uid_t outer_uid(void)
{
	cleanup_file FILE *map = fopen("/proc/self/uid_map", "re");
	unsigned inside, outside;

	if (map != NULL && fscanf(map, "%u %u", &inside, &outside) == 2 && inside == 0)
		return outside;
	return 0;
}

int path_runtime_root(struct path *path, struct err *err)
{
	const char *xdg = absolute_env("XDG_RUNTIME_DIR");
	uid_t uid = geteuid();
	struct stat st;
	int ret;

	if (xdg != NULL)
		return path_set(path, err, "%s/torpor", xdg);
	if (uid == 0) {
		if (access("/run", W_OK) == 0 || errno == ENOENT)
			return path_set(path, err, "/run/torpor");
		uid = outer_uid();
	}
	ret = path_set(path, err, "/run/user/%u", uid);
	if (ret < 0)
		return ret;
	if (stat(path->text, &st) == 0 && st.st_uid == geteuid())
		return path_set(path, err, "/run/user/%u/torpor", uid);
	return path_set(path, err, "/tmp/torpor-%u", uid);
}

static int home_root(struct path *path, const char *env, const char *fallback, struct err *err)
{
	const char *xdg = absolute_env(env);

	if (xdg != NULL)
		return path_set(path, err, "%s/torpor", xdg);
	return path_set(path, err, "%s/%s/torpor", home(), fallback);
}

int path_state_root(struct path *path, struct err *err)
{
	return home_root(path, "XDG_STATE_HOME", ".local/state", err);
}

static int path_below(struct path *path, const char *name, const char *file, struct err *err)
{
	struct path root = *path;

	return path_set(path, err, "%s/%s%s%s", root.text, name, file[0] != '\0' ? "/" : "", file);
}

int path_runtime(struct path *path, const char *name, const char *file, struct err *err)
{
	int ret = path_runtime_root(path, err);

	return ret < 0 ? ret : path_below(path, name, file, err);
}

int path_lan_root(struct path *path, struct err *err)
{
	struct path machines;
	int ret = path_runtime_root(&machines, err);

	return ret < 0 ? ret : path_set(path, err, "%s-lan", machines.text);
}

int path_lan(struct path *path, const char *name, const char *file, struct err *err)
{
	int ret = path_lan_root(path, err);

	return ret < 0 ? ret : path_below(path, name, file, err);
}

int path_lan_log(struct path *path, const char *name, struct err *err)
{
	struct path machines;
	int ret = path_state_root(&machines, err);

	return ret < 0 ? ret : path_set(path, err, "%s-lan/%s.log", machines.text, name);
}

int path_state(struct path *path, const char *name, const char *file, struct err *err)
{
	int ret = path_state_root(path, err);

	return ret < 0 ? ret : path_below(path, name, file, err);
}

int path_store_root(struct path *path, struct err *err)
{
	return home_root(path, "XDG_DATA_HOME", ".local/share", err);
}

int path_store(struct path *path, const char *name, struct err *err)
{
	struct path root;
	int ret = path_store_root(&root, err);

	return ret < 0 ? ret : path_set(path, err, "%s/%s.torpor", root.text, name);
}

int path_volume(struct path *path, const char *name, struct err *err)
{
	struct path root;
	int ret = path_store_root(&root, err);

	if (ret < 0)
		return ret;
	return name != NULL ? path_set(path, err, "%s/volumes/%s.raw", root.text, name)
			    : path_set(path, err, "%s/volumes", root.text);
}

int path_cas(struct path *path, struct err *err)
{
	struct path root;
	int ret = path_store_root(&root, err);

	return ret < 0 ? ret : path_set(path, err, "%s/" CAS_FOLDER, root.text);
}

int path_trust(struct path *path, struct err *err)
{
	struct path root;
	int ret = home_root(&root, "XDG_CONFIG_HOME", ".config", err);

	return ret < 0 ? ret : path_set(path, err, "%s/trust", root.text);
}

int path_cache(struct path *path, const char *name, struct err *err)
{
	struct path root;
	int ret = home_root(&root, "XDG_CACHE_HOME", ".cache", err);

	return ret < 0 ? ret : path_set(path, err, "%s/%s", root.text, name);
}

const char *path_temporary(void)
{
	const char *folder = getenv("TMPDIR");

	return folder != NULL && folder[0] == '/' ? folder : "/var/tmp";
}

/* The usual case is that it exists: one stat. */
int path_make_dirs(const struct path *path, struct err *err)
{
	struct path parent = *path;

	for (char *slash = parent.text + 1;; slash++) {
		slash = strchrnul(slash, '/');
		if (*slash == '\0')
			break;
		*slash = '\0';
		if (mkdir(parent.text, 0700) < 0 && errno != EEXIST)
			return err_sys(err, errno, "create %s", parent.text);
		*slash = '/';
	}
	if (mkdir(path->text, 0700) < 0 && errno != EEXIST)
		return err_sys(err, errno, "create %s", path->text);
	return 0;
}

int path_make_parents(const struct path *path, struct err *err)
{
	struct path parent = *path;
	char *slash = strrchr(parent.text, '/');
	struct stat st;

	if (slash == NULL || slash == parent.text)
		return 0;
	*slash = '\0';
	return stat(parent.text, &st) == 0 ? 0 : path_make_dirs(&parent, err);
}

/* -ENOENT, without a text, when it does not exist. */
static int check_private(const struct path *root, struct err *err)
{
	struct stat st;

	if (lstat(root->text, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ? -ENOENT
							   : err_sys(err, errno, "%s", root->text);
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0)
		return err_set(
			err, ERR_FAILED,
			"%s must be a folder of yours that nobody else may enter (mode 0700)",
			root->text);
	return 0;
}

static int root_ready(const struct path *root, struct err *err)
{
	int ret;

	if (mkdir(root->text, 0700) < 0 && errno != EEXIST) {
		ret = path_make_dirs(root, err);
		if (ret < 0)
			return ret;
	}
	ret = check_private(root, err);
	return ret == -ENOENT ? err_sys(err, ENOENT, "%s", root->text) : ret;
}

int path_runtime_ready(struct err *err)
{
	struct path root;
	int ret = path_runtime_root(&root, err);

	return ret < 0 ? ret : root_ready(&root, err);
}

int path_lans_ready(struct err *err)
{
	struct path root;
	int ret = path_lan_root(&root, err);

	return ret < 0 ? ret : root_ready(&root, err);
}

int path_runtime_check(struct err *err)
{
	struct path root;
	int ret = path_runtime_root(&root, err);

	if (ret == 0)
		ret = check_private(&root, err);
	return ret == -ENOENT ? 0 : ret;
}

int path_lans_check(struct err *err)
{
	struct path root;
	int ret = path_lan_root(&root, err);

	if (ret == 0)
		ret = check_private(&root, err);
	return ret == -ENOENT ? 0 : ret;
}

int path_absolute(struct path *path, const char *file, struct err *err)
{
	char cwd[sizeof(path->text)];

	if (file[0] == '/')
		return path_set(path, err, "%s", file);
	if (getcwd(cwd, sizeof(cwd)) == NULL)
		return err_sys(err, errno, "working directory");
	return path_set(path, err, "%s/%s", cwd, file);
}
