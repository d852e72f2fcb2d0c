/* See cgroup.h. */
#include "limits/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

#define PROC_FILE_MAX (1u << 20)

static const char *next_line(const char *line)
{
	const char *end = strchr(line, '\n');

	return end != NULL ? end + 1 : line + strlen(line);
}

/* Whether this is a mount of version 2, proc(5): ID PARENT DEVICE ROOT MOUNTPOINT OPTIONS… - TYPE … */
static bool read_mount(const char *line, char root[PATH_MAX], char point[PATH_MAX])
{
	const char *type = strstr(line, " - ");

	if (type == NULL || type > next_line(line) ||
	    strncmp(type, " - cgroup2 ", strlen(" - cgroup2 ")) != 0)
		return false;
	/* PATH_MAX is 4096. */
	return sscanf(line, "%*s %*s %*s %4095s %4095s", root, point) == 2;
}

/* Part of the tree may be mounted: `root`. */
static bool is_below(const char *group, size_t len, const char *root)
{
	const size_t n = strlen(root);

	return n <= len && strncmp(group, root, n) == 0 && (n == len || group[n] == '/');
}

bool cgroup_find(const char *cgroups, const char *mounts, struct cgroup_path *path)
{
	char root[PATH_MAX], point[PATH_MAX];
	const char *group = cgroups;
	size_t len;

	while (*group != '\0' && strncmp(group, "0::/", 4) != 0)
		group = next_line(group);
	/* A process outside of our namespace is in one that cannot be seen. */
	if (*group == '\0' || strncmp(group, "0::/..", 6) == 0)
		return false;
	group += strlen("0::");
	len = strcspn(group, "\n");
	if (len == 1)
		len = 0;
	for (const char *line = mounts; *line != '\0'; line = next_line(line)) {
		int size;

		if (!read_mount(line, root, point))
			continue;
		if (strcmp(root, "/") == 0)
			root[0] = '\0';
		if (!is_below(group, len, root))
			continue;
		size = snprintf(path->text, sizeof(path->text), "%s%.*s", point,
				(int)(len - strlen(root)), group + strlen(root));
		return size > 0 && (size_t)size < sizeof(path->text);
	}
	return false;
}

int cgroup_of(pid_t pid, struct cgroup_path *path, struct err *err)
{
	cleanup_free char *cgroups = NULL, *mounts = NULL;
	char file[64];
	size_t len;
	int ret;

	snprintf(file, sizeof(file), "/proc/%d/cgroup", (int)pid);
	ret = io_read_file(file, PROC_FILE_MAX, &cgroups, &len);
	if (ret < 0)
		return err_sys(err, -ret, "%s", file);
	ret = io_read_file("/proc/self/mountinfo", PROC_FILE_MAX, &mounts, &len);
	if (ret < 0)
		return err_sys(err, -ret, "/proc/self/mountinfo");
	if (cgroup_find(cgroups, mounts, path))
		return 0;
	return err_set(err, ERR_FAILED,
		       "limits need control groups of version 2, and none are mounted here: mount "
		       "-t cgroup2 cgroup2 /sys/fs/cgroup, or boot with "
		       "systemd.unified_cgroup_hierarchy=1");
}

static int open_file(const char *group, const char *file, int flags, struct err *err)
{
	char path[PATH_MAX];
	int fd;

	if (snprintf(path, sizeof(path), "%s/%s", group, file) >= (int)sizeof(path))
		return err_sys(err, ENAMETOOLONG, "%s/%s", group, file);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? err_sys(err, errno, "%s", path) : fd;
}

int cgroup_read(const char *group, const char *file, char *text, size_t size, struct err *err)
{
	cleanup_fd int fd = open_file(group, file, O_RDONLY, err);
	int64_t got;

	if (fd < 0)
		return fd;
	got = io_read_upto(fd, text, size - 1);
	if (got < 0)
		return err_sys(err, (int)-got, "read %s/%s", group, file);
	text[got] = '\0';
	if (got > 0 && text[got - 1] == '\n')
		text[got - 1] = '\0';
	return 0;
}

/* One write(2): the kernel takes each for a whole value. */
int cgroup_write(const char *group, const char *file, const char *text, struct err *err)
{
	cleanup_fd int fd = open_file(group, file, O_WRONLY, err);

	if (fd < 0)
		return fd;
	if (write(fd, text, strlen(text)) < 0)
		return err_sys(err, errno, "write '%.*s' to %s/%s", (int)strcspn(text, "\n"), text,
			       group, file);
	return 0;
}

unsigned long long cgroup_number(const char *group, const char *file, const char *key)
{
	char text[4096];
	const size_t len = strlen(key);

	if (cgroup_read(group, file, text, sizeof(text), NULL) < 0)
		return 0;
	for (const char *line = text; *line != '\0'; line = next_line(line)) {
		if (strncmp(line, key, len) == 0 && line[len] == ' ')
			return strtoull(line + len + 1, NULL, 10);
	}
	return 0;
}

bool cgroup_lists(const char *list, const char *word)
{
	const size_t len = strlen(word);

	while (*list != '\0') {
		size_t n = strcspn(list, " \n");

		if (n == len && strncmp(list, word, len) == 0)
			return true;
		list += n;
		list += strspn(list, " \n");
	}
	return false;
}

/* systemd marks it for whom it is delegated to: "user." since 251, "trusted." before, which root sees. */
bool cgroup_is_delegated(const char *group)
{
	static const char *const marks[] = {"user.delegate", "trusted.delegate"};
	char value[8];

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		if (getxattr(group, marks[i], value, sizeof(value)) == 1 && value[0] == '1')
			return true;
	}
	return false;
}

bool cgroup_is_writable(const char *group)
{
	char procs[PATH_MAX];

	if (snprintf(procs, sizeof(procs), "%s/cgroup.procs", group) >= (int)sizeof(procs))
		return false;
	return access(group, W_OK) == 0 && access(procs, W_OK) == 0;
}

int cgroup_enable(const char *group, const char *controller, struct err *err)
{
	char text[1024], word[64];
	int ret = cgroup_read(group, "cgroup.subtree_control", text, sizeof(text), err);

	if (ret < 0 || cgroup_lists(text, controller))
		return ret;
	ret = cgroup_read(group, "cgroup.controllers", text, sizeof(text), err);
	if (ret < 0)
		return ret;
	if (!cgroup_lists(text, controller)) {
		err_set(err, ERR_FAILED, "%s has no controller `%s`", group, controller);
		return -ENOENT;
	}
	snprintf(word, sizeof(word), "+%s", controller);
	return cgroup_write(group, "cgroup.subtree_control", word, err);
}
