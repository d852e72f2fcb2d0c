/* See place.h. */
#include "limits/place.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "limits/group.h"
#include "limits/scope.h"

/* Where the processes of a group go that machines are made in. */
#define EMPTIED "/torpor"

/* memory first: a group with processes in it refuses that one (-EBUSY), and then is as it was. It would take cpu,
 * and be the root of threads (cgroups(7)), below which there is no group for a machine. */
static const char *const controllers[] = {"memory", "cpu", "cpuset", "pids"};

/* A process in a group keeps it from limiting those below it: cgroups(7), "no internal processes". */
static int empty_group(const char *base, struct err *err)
{
	char path[PATH_MAX], file[PATH_MAX + 16];
	unsigned long long pid;
	FILE *procs;
	int ret = 0;

	if (snprintf(path, sizeof(path), "%s" EMPTIED, base) >= (int)sizeof(path))
		return err_sys(err, ENAMETOOLONG, "%s", base);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return err_sys(err, errno, "mkdir %s", path);
	snprintf(file, sizeof(file), "%s/cgroup.procs", base);
	procs = fopen(file, "re");
	if (procs == NULL)
		return err_sys(err, errno, "%s", file);
	while (ret == 0 && fscanf(procs, "%llu", &pid) == 1) {
		char text[32];

		snprintf(text, sizeof(text), "%llu", pid);
		ret = cgroup_write(path, "cgroup.procs", text, err);
		/* It has ended meanwhile. */
		if (ret == -ESRCH)
			ret = 0;
	}
	fclose(procs);
	return ret;
}

/* What is not there is missed when the machine's own group is divided. */
static int enable_all(const char *base, struct err *err)
{
	for (size_t i = 0; i < sizeof(controllers) / sizeof(controllers[0]); i++) {
		int ret = cgroup_enable(base, controllers[i], err);

		if (ret < 0 && ret != -ENOENT)
			return ret;
	}
	return 0;
}

static int move_process(const char *group, pid_t pid, struct err *err)
{
	char text[32];

	snprintf(text, sizeof(text), "%d", (int)pid);
	return cgroup_write(group, "cgroup.procs", text, err);
}

/* A group below `base`, by files alone. */
static int place_below(const char *base, const char *name, pid_t pid, const struct limits *l,
		       struct cgroup_path *group, struct err *err)
{
	char own[GROUP_NAME_SIZE];
	int ret;

	group_sweep(base);
	group_name(own, name, pid);
	if (snprintf(group->text, sizeof(group->text), "%s/%s", base, own) >=
	    (int)sizeof(group->text))
		return err_sys(err, ENAMETOOLONG, "%s/%s", base, own);
	if (mkdir(group->text, 0755) < 0 && errno != EEXIST)
		return err_sys(err, errno, "mkdir %s", group->text);
	ret = group_divide(group->text, l, err);
	if (ret == 0)
		ret = group_set(group->text, false, l, err);
	if (ret == 0)
		ret = move_process(group->text, pid, err);
	if (ret < 0)
		group_remove(group->text);
	return ret;
}

/* A machine that is started again begins where empty_group() has put who starts it: *from becomes the group that
 * was handed over. */
static void leave_emptied(struct cgroup_path *from)
{
	struct cgroup_path above = *from;
	char *slash = strrchr(above.text, '/');

	if (slash == NULL || strcmp(slash, EMPTIED) != 0)
		return;
	*slash = '\0';
	if (cgroup_is_delegated(above.text))
		*from = above;
}

static int place_delegated(const char *base, const char *name, pid_t pid, const struct limits *l,
			   struct cgroup_path *group, struct err *err)
{
	int ret = empty_group(base, err);

	if (ret == 0)
		ret = enable_all(base, err);
	return ret < 0 ? ret : place_below(base, name, pid, l, group, err);
}

/* The service that the process is part of is stopped first when the host ends: it may save the machine. */
static const char *service_of(const char *group)
{
	const char *name = strrchr(group, '/');
	const char *suffix = strrchr(group, '.');

	if (name == NULL || suffix == NULL || suffix < name || strcmp(suffix, ".service") != 0)
		return NULL;
	return name + 1;
}

static int place_scope(const char *from, const char *name, pid_t pid, const struct limits *l,
		       struct cgroup_path *group, struct err *err)
{
	char unit[GROUP_NAME_SIZE + sizeof(GROUP_SCOPE)];
	bool scope;
	int ret;

	group_name(unit, name, pid);
	strcat(unit, GROUP_SCOPE);
	ret = scope_start(unit, pid, service_of(from), l, err);
	if (ret == 0)
		ret = cgroup_of(pid, group, err);
	if (ret < 0)
		return ret;
	if (!group_is(group->text, name, pid, &scope))
		return err_set(err, ERR_FAILED, "systemd has started %s, and the machine is in %s",
			       unit, group->text);
	ret = group_divide(group->text, l, err);
	return ret < 0 ? ret : group_set(group->text, true, l, err);
}

static int nowhere(const char *from, const struct err *why, struct err *err)
{
	return err_set(err, ERR_FAILED,
		       "limits need a control group, and none can be made from %s (%s): run it as "
		       "root, below systemd, or in a group that was handed over to this user with "
		       "the controllers cpu, cpuset, memory and pids",
		       from, why->text);
}

static int place_files(const char *from, const char *name, pid_t pid, const struct limits *l,
		       struct cgroup_path *group, struct err *err)
{
	char base[PATH_MAX], *slash;
	struct err why = {.text = "no group there may be written"};

	snprintf(base, sizeof(base), "%s", from);
	while (cgroup_is_writable(base)) {
		if (enable_all(base, &why) == 0)
			return place_below(base, name, pid, l, group, err);
		slash = strrchr(base, '/');
		if (slash == NULL || slash == base)
			break;
		*slash = '\0';
	}
	return nowhere(from, &why, err);
}

/* A machine that runs has vCPUs already, by the names of their threads (vmm/machine_vcpus.c). */
static int move_vcpus(const char *group, pid_t pid, struct err *err)
{
	char tasks[32], path[PATH_MAX + 16], comm[64];
	const struct dirent *entry;
	DIR *dir;
	int ret = 0;

	snprintf(tasks, sizeof(tasks), "/proc/%d/task", (int)pid);
	snprintf(path, sizeof(path), "%s/vcpus", group);
	dir = opendir(tasks);
	if (dir == NULL)
		return err_sys(err, errno, "%s", tasks);
	while (ret == 0 && (entry = readdir(dir)) != NULL) {
		char thread[PATH_MAX];

		snprintf(thread, sizeof(thread), "%s/%s", tasks, entry->d_name);
		if (cgroup_read(thread, "comm", comm, sizeof(comm), NULL) == 0 &&
		    strncmp(comm, "vcpu", 4) == 0)
			ret = cgroup_write(path, "cgroup.threads", entry->d_name, err);
	}
	closedir(dir);
	return ret;
}

int limits_place(const char *name, pid_t pid, const struct limits *l, struct cgroup_path *group,
		 struct err *err)
{
	struct cgroup_path from;
	int ret = cgroup_of(pid, &from, err);

	if (ret < 0)
		return ret;
	leave_emptied(&from);
	if (cgroup_is_delegated(from.text) && cgroup_is_writable(from.text))
		ret = place_delegated(from.text, name, pid, l, group, err);
	else if (scope_is_there())
		ret = place_scope(from.text, name, pid, l, group, err);
	else
		ret = place_files(from.text, name, pid, l, group, err);
	return ret < 0 ? ret : move_vcpus(group->text, pid, err);
}

json_t *limits_json(const char *name, pid_t pid)
{
	struct cgroup_path group;
	bool scope;

	if (cgroup_of(pid, &group, NULL) < 0 || !group_is(group.text, name, pid, &scope))
		return NULL;
	return group_json(group.text);
}

int limits_change(const char *name, pid_t pid, const struct limits *given, struct err *err)
{
	struct limits l = *given;
	struct cgroup_path group;
	bool scope = false;
	int ret = cgroup_of(pid, &group, err);

	if (ret < 0)
		return ret;
	if (!group_is(group.text, name, pid, &scope))
		return limits_place(name, pid, &l, &group, err);
	ret = group_check(group.text, &l, err);
	if (ret == 0)
		ret = group_all_cpus(group.text, &l, err);
	if (ret == 0 && scope)
		ret = scope_set(strrchr(group.text, '/') + 1, &l, err);
	return ret < 0 ? ret : group_set(group.text, scope, &l, err);
}
