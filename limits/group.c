/* See group.h. */
#include "limits/group.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"

#define PREFIX "torpor-"
#define VCPUS  "/vcpus"

/* A group that has used up its time waits for the rest of a period: the shorter, the more evenly a
 * guest runs. But a quota is 1 ms at least, and the scheduler gives time out in slices of 5 ms. */
#define PERIOD_US      20000u
#define LONG_PERIOD_US 100000u
#define MIN_QUOTA_US   1000u

/* What a limit needs. */
static const struct {
	enum limit limit;
	const char *controller;
	bool of_vcpus; /* and it must be there for `vcpus` */
} needs[] = {
	{LIMIT_CPUS, "cpu", true},	 {LIMIT_WEIGHT, "cpu", false},
	{LIMIT_CPUSET, "cpuset", false}, {LIMIT_MEMORY, "memory", false},
	{LIMIT_PIDS, "pids", false},
};

void group_name(char text[GROUP_NAME_SIZE], const char *name, pid_t pid)
{
	snprintf(text, GROUP_NAME_SIZE, PREFIX "%.63s-%d", name, (int)pid);
}

bool group_is(const char *group, const char *name, pid_t pid, bool *scope)
{
	const char *slash = strrchr(group, '/');
	char own[GROUP_NAME_SIZE];
	size_t len;

	group_name(own, name, pid);
	len = strlen(own);
	if (slash == NULL || strncmp(slash + 1, own, len) != 0)
		return false;
	*scope = strcmp(slash + 1 + len, GROUP_SCOPE) == 0;
	return *scope || slash[1 + len] == '\0';
}

static int vcpus_path(struct cgroup_path *path, const char *group, struct err *err)
{
	if (snprintf(path->text, sizeof(path->text), "%s" VCPUS, group) >= (int)sizeof(path->text))
		return err_sys(err, ENAMETOOLONG, "%s" VCPUS, group);
	return 0;
}

/* proc_cgroups(5): NAME HIERARCHY GROUPS ENABLED; hierarchy 0 is version 2. */
static bool is_of_version_1(const char *controller)
{
	cleanup_file FILE *file = fopen("/proc/cgroups", "re");
	char line[256], name[64];
	int hierarchy;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "%63s %d", name, &hierarchy) == 2 && strcmp(name, controller) == 0)
			return hierarchy != 0;
	}
	return false;
}

static int missing(const char *controller, const char *group, struct err *err)
{
	if (is_of_version_1(controller))
		return err_set(err, ERR_FAILED,
			       "this host has the controller `%s` in control groups of version 1: "
			       "limits need version 2; boot it with "
			       "systemd.unified_cgroup_hierarchy=1",
			       controller);
	return err_set(err, ERR_FAILED,
		       "there is no controller `%s` in %s: who manages the groups above it has to "
		       "hand it down (systemd: Delegate=cpu cpuset memory pids, by systemctl edit "
		       "user@.service for users)",
		       controller, group);
}

int group_check(const char *group, const struct limits *l, struct err *err)
{
	char there[1024];
	int ret = cgroup_read(group, "cgroup.controllers", there, sizeof(there), err);

	for (size_t i = 0; ret == 0 && i < ARRAY_SIZE(needs); i++) {
		if ((l->set & needs[i].limit) != 0 && !cgroup_lists(there, needs[i].controller))
			return missing(needs[i].controller, group, err);
	}
	return ret;
}

int group_divide(const char *group, const struct limits *l, struct err *err)
{
	struct cgroup_path vcpus;
	int ret = group_check(group, l, err);

	if (ret == 0)
		ret = vcpus_path(&vcpus, group, err);
	if (ret < 0)
		return ret;
	if (mkdir(vcpus.text, 0755) < 0 && errno != EEXIST)
		return err_sys(err, errno, "mkdir %s", vcpus.text);
	ret = cgroup_write(vcpus.text, "cgroup.type", "threaded", err);
	if (ret < 0)
		return ret;
	/* For a later torpor update, too: it may be missing as long as it is not needed. */
	ret = cgroup_enable(group, "cpu", err);
	return ret == -ENOENT && (l->set & LIMIT_CPUS) == 0 ? 0 : ret;
}

static int set_cpus(const char *group, const struct limits *l, struct err *err)
{
	struct cgroup_path vcpus;
	uint64_t period = PERIOD_US;
	char text[64];
	int ret = vcpus_path(&vcpus, group, err);

	if (ret < 0)
		return ret;
	if (l->milli_cpus * period / 1000 < MIN_QUOTA_US)
		period = LONG_PERIOD_US;
	if (l->milli_cpus == 0)
		snprintf(text, sizeof(text), "max");
	else
		snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64, l->milli_cpus * period / 1000,
			 period);
	return cgroup_write(vcpus.text, "cpu.max", text, err);
}

static int set_number(const char *group, const char *file, uint64_t number, struct err *err)
{
	char text[32] = "max";

	if (number != 0)
		snprintf(text, sizeof(text), "%" PRIu64, number);
	return cgroup_write(group, file, text, err);
}

int group_set(const char *group, bool scope, const struct limits *l, struct err *err)
{
	int ret = 0;

	if ((l->set & LIMIT_CPUS) != 0)
		ret = set_cpus(group, l, err);
	if (ret < 0 || scope)
		return ret;
	if ((l->set & LIMIT_WEIGHT) != 0)
		ret = set_number(group, "cpu.weight", l->weight, err);
	if (ret == 0 && (l->set & LIMIT_CPUSET) != 0 && l->cpuset[0] != '\0')
		ret = cgroup_write(group, "cpuset.cpus", l->cpuset, err);
	if (ret == -ERANGE)
		return err_context(err, ret, "--cpuset: this host has no such CPUs");
	if (ret == 0 && (l->set & LIMIT_MEMORY) != 0)
		ret = set_number(group, "memory.max", l->memory, err);
	if (ret == 0 && (l->set & LIMIT_PIDS) != 0)
		ret = set_number(group, "pids.max", l->pids, err);
	return ret;
}

/* The process that is part of its name has ended; a machine that is just starting has one. */
static bool is_left_over(const char *name)
{
	const char *dash = strrchr(name, '-');
	long pid;
	char *end;

	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0 || dash == NULL)
		return false;
	pid = strtol(dash + 1, &end, 10);
	return *end == '\0' && end > dash + 1 && pid > 0 && kill((pid_t)pid, 0) < 0 &&
	       errno == ESRCH;
}

int group_all_cpus(const char *group, struct limits *l, struct err *err)
{
	struct cgroup_path above;

	if ((l->set & LIMIT_CPUSET) == 0 || l->cpuset[0] != '\0')
		return 0;
	if (snprintf(above.text, sizeof(above.text), "%s/..", group) >= (int)sizeof(above.text))
		return err_sys(err, ENAMETOOLONG, "%s", group);
	return cgroup_read(above.text, "cpuset.cpus.effective", l->cpuset, sizeof(l->cpuset), err);
}

void group_remove(const char *group)
{
	struct cgroup_path vcpus;

	if (vcpus_path(&vcpus, group, NULL) == 0)
		(void)rmdir(vcpus.text);
	(void)rmdir(group);
}

void group_sweep(const char *base)
{
	DIR *dir = opendir(base);
	const struct dirent *entry;
	struct cgroup_path path;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (is_left_over(entry->d_name) &&
		    snprintf(path.text, sizeof(path.text), "%s/%s", base, entry->d_name) <
			    (int)sizeof(path.text))
			group_remove(path.text);
	}
	if (dir != NULL)
		closedir(dir);
}

/* A file that holds one number, or "max". */
static void add_number(json_t *object, const char *key, const char *group, const char *file)
{
	char text[64], *end;
	unsigned long long number;

	if (cgroup_read(group, file, text, sizeof(text), NULL) < 0)
		return;
	number = strtoull(text, &end, 10);
	if (end > text)
		json_object_set_new(object, key, json_integer((json_int_t)number));
}

static void add_cpus(json_t *object, const char *vcpus)
{
	unsigned long long quota, period;
	char text[64];

	if (cgroup_read(vcpus, "cpu.max", text, sizeof(text), NULL) == 0 &&
	    sscanf(text, "%llu %llu", &quota, &period) == 2 && period > 0)
		json_object_set_new(object, "cpus", json_real((double)quota / (double)period));
}

json_t *group_json(const char *group)
{
	struct cgroup_path vcpus;
	json_t *limits, *used = json_object();
	char text[256];

	if (vcpus_path(&vcpus, group, NULL) < 0)
		vcpus.text[0] = '\0';
	limits = json_pack("{s:s,s:o}", "group", group, "used", used);
	if (limits == NULL)
		return NULL;
	add_cpus(limits, vcpus.text);
	add_number(limits, "cpu-weight", group, "cpu.weight");
	if (cgroup_read(group, "cpuset.cpus", text, sizeof(text), NULL) == 0 && text[0] != '\0')
		json_object_set_new(limits, "cpuset", json_string(text));
	add_number(limits, "memory-max", group, "memory.max");
	add_number(limits, "pids-max", group, "pids.max");
	json_object_set_new(
		used, "cpu-seconds",
		json_real((double)cgroup_number(vcpus.text, "cpu.stat", "usage_usec") / 1e6));
	json_object_set_new(
		limits, "throttled",
		json_real((double)cgroup_number(vcpus.text, "cpu.stat", "throttled_usec") / 1e6));
	add_number(used, "memory", group, "memory.current");
	add_number(used, "pids", group, "pids.current");
	json_object_set_new(
		limits, "oom-kills",
		json_integer((json_int_t)cgroup_number(group, "memory.events", "oom_kill")));
	return limits;
}
