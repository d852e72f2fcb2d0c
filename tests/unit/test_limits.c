/* Limits: what the options take, which control group a process is in, what a group's files say. What
 * the kernel does with them is measured in tests/lab/limits.py. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "limits/group.h"
#include "limits/helper.h"

static bool is_text(const char *got, const char *wanted)
{
	return strcmp(got, wanted) == 0;
}

static int cpus(struct limits *l, const char *text)
{
	return limits_parse_cpus(l, text, NULL);
}

Test(limits, cpus_are_read_in_thousandths)
{
	static const struct {
		const char *text;
		uint32_t milli;
	} good[] = {{"0.5", 500},  {"1.5", 1500},   {"2", 2000},  {".25", 250},
		    {"0.010", 10}, {"512", 512000}, {"3.", 3000}, {"max", 0}};
	static const char *const bad[] = {"",	 "0",	   "0.009",    "512.001", "-1", "1.2.3",
					  "1e3", "0.0005", "99999999", "one",	  " 1", "."};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct limits l = {0};

		cr_assert(eq(int, cpus(&l, good[i].text), 0), "%s", good[i].text);
		cr_assert(eq(u32, l.milli_cpus, good[i].milli), "%s", good[i].text);
		cr_assert(eq(uint, l.set, LIMIT_CPUS));
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct limits l = {0};

		cr_assert(eq(int, cpus(&l, bad[i]), -EINVAL), "%s", bad[i]);
		cr_assert(eq(uint, l.set, 0));
	}
}

Test(limits, a_list_of_cpus_is_a_mask)
{
	static const char *const bad[] = {"",	",", "1,",   "1,,2",   "3-1", "-1",
					  "1-", "a", "8192", "0-8192", "0 1", "1-2-3"};
	uint8_t mask[LIMITS_HOST_CPUS / 8];
	struct limits l = {0};

	cr_assert(eq(int, limits_parse_cpuset(&l, "0-2,9,8191", NULL), 0));
	cr_assert(is_text(l.cpuset, "0-2,9,8191"));
	cr_assert(eq(uint, limits_cpu_mask(l.cpuset, mask), 1024));
	cr_assert(eq(u8, mask[0], 7));
	cr_assert(eq(u8, mask[1], 2));
	cr_assert(eq(u8, mask[1023], 0x80));
	cr_assert(eq(uint, limits_cpu_mask("8", mask), 2));
	cr_assert(eq(int, limits_parse_cpuset(&l, "max", NULL), 0));
	cr_assert(is_text(l.cpuset, ""));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert(eq(int, limits_parse_cpuset(&l, bad[i], NULL), -EINVAL), "%s", bad[i]);
}

Test(limits, memory_pids_and_weight)
{
	struct limits l = {0};

	cr_assert(eq(int, limits_parse_memory(&l, "1.5G", NULL), 0));
	cr_assert(eq(u64, l.memory, GIB(3) / 2));
	cr_assert(eq(int, limits_parse_memory(&l, "64K", NULL), -EINVAL));
	cr_assert(eq(int, limits_parse_memory(&l, "max", NULL), 0));
	cr_assert(eq(u64, l.memory, 0));
	cr_assert(eq(int, limits_parse_pids(&l, "100", NULL), 0));
	cr_assert(eq(u64, l.pids, 100));
	cr_assert(eq(int, limits_parse_pids(&l, "0", NULL), -EINVAL));
	cr_assert(eq(int, limits_parse_weight(&l, "10000", NULL), 0));
	cr_assert(eq(int, limits_parse_weight(&l, "10001", NULL), -EINVAL));
	cr_assert(eq(int, limits_parse_weight(&l, "max", NULL), -EINVAL));
	cr_assert(eq(uint, l.set, LIMIT_MEMORY | LIMIT_PIDS | LIMIT_WEIGHT));
}

#define V2   "24 1 0:22 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
#define PROC "20 1 0:4 / /proc rw - proc proc rw\n"

Test(limits, the_group_of_a_process_is_found)
{
	static const struct {
		const char *cgroups, *mounts, *path; /* NULL: none is seen */
	} cases[] = {
		{"0::/user.slice/a.scope\n", PROC V2, "/sys/fs/cgroup/user.slice/a.scope"},
		{"0::/\n", PROC V2, "/sys/fs/cgroup"},
		/* Of both versions. */
		{"4:cpu:/x\n0::/y\n", PROC "9 1 0:9 / /cpu rw - cgroup cgroup rw,cpu\n" V2,
		 "/sys/fs/cgroup/y"},
		{"4:cpu:/x\n", PROC V2, NULL},
		{"0::/y\n", PROC, NULL},
		/* Part of the tree is mounted. */
		{"0::/box/y\n", "24 1 0:22 /box /cg rw - cgroup2 cgroup2 rw\n", "/cg/y"},
		{"0::/box\n", "24 1 0:22 /box /cg rw - cgroup2 cgroup2 rw\n", "/cg"},
		{"0::/y\n", "24 1 0:22 /box /cg rw - cgroup2 cgroup2 rw\n", NULL},
		{"0::/boxes/y\n", "24 1 0:22 /box /cg rw - cgroup2 cgroup2 rw\n", NULL},
		/* Of another namespace, and ours. */
		{"0::/y\n", "24 1 0:22 /../.. /out rw - cgroup2 cgroup2 rw\n" V2,
		 "/sys/fs/cgroup/y"},
		/* The process is outside of our namespace. */
		{"0::/../y\n", PROC V2, NULL},
		{"", "", NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cgroup_path path;
		bool found = cgroup_find(cases[i].cgroups, cases[i].mounts, &path);

		cr_assert(eq(int, found, cases[i].path != NULL), "%s", cases[i].cgroups);
		if (found)
			cr_assert(is_text(path.text, cases[i].path));
	}
}

Test(limits, a_group_is_known_by_its_name_and_process)
{
	bool scope = true;

	cr_assert(group_is("/cg/torpor-web-17", "web", 17, &scope));
	cr_assert(not(scope));
	cr_assert(group_is("/cg/a.slice/torpor-web-17.scope", "web", 17, &scope));
	cr_assert(scope);
	cr_assert(not(group_is("/cg/torpor-web-17", "web", 171, &scope)));
	cr_assert(not(group_is("/cg/torpor-web-171", "web", 17, &scope)));
	cr_assert(not(group_is("/cg/torpor-web-17.service", "web", 17, &scope)));
	cr_assert(not(group_is("/cg/torpor-web-17/vcpus", "web", 17, &scope)));
	cr_assert(not(group_is("", "web", 17, &scope)));
}

/* A folder with such files, of which the kernel knows nothing. */
static void make_file(const char *group, const char *name, const char *text)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", group, name);
	file = fopen(path, "w");
	cr_assert(ne(ptr, file, NULL));
	fputs(text, file);
	fclose(file);
}

static void expect_file(const char *group, const char *name, const char *text)
{
	char got[256];

	cr_assert(eq(int, cgroup_read(group, name, got, sizeof(got), NULL), 0));
	cr_assert(is_text(got, text), "%s", name);
}

static void make_group(char group[64])
{
	char vcpus[80];

	strcpy(group, "/tmp/torpor-limits.XXXXXX");
	cr_assert(ne(ptr, mkdtemp(group), NULL));
	snprintf(vcpus, sizeof(vcpus), "%s/vcpus", group);
	cr_assert(eq(int, mkdir(vcpus, 0700), 0));
	make_file(group, "cgroup.controllers", "cpuset cpu pids\n");
	make_file(group, "cgroup.subtree_control", "cpu\n");
	make_file(vcpus, "cpu.max", "");
	make_file(vcpus, "cgroup.type", "");
	make_file(vcpus, "cpu.stat", "usage_usec 2500000\nthrottled_usec 500000\n");
	make_file(group, "cpu.weight", "");
	make_file(group, "cpuset.cpus", "\n");
	make_file(group, "pids.max", "");
}

static void remove_group(const char *group)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", group);
	cr_assert(eq(int, system(command), 0));
}

Test(limits, a_quota_is_for_vcpus_and_the_rest_for_the_group)
{
	struct limits l = {.set = LIMIT_CPUS | LIMIT_WEIGHT | LIMIT_CPUSET | LIMIT_PIDS,
			   .milli_cpus = 500,
			   .weight = 50,
			   .cpuset = "0-1",
			   .pids = 64};
	char group[64];
	json_t *json;

	make_group(group);
	cr_assert(eq(int, group_divide(group, &l, NULL), 0));
	cr_assert(eq(int, group_set(group, false, &l, NULL), 0));
	expect_file(group, "vcpus/cgroup.type", "threaded");
	expect_file(group, "vcpus/cpu.max", "10000 20000");
	expect_file(group, "cpu.weight", "50");
	expect_file(group, "cpuset.cpus", "0-1");
	expect_file(group, "pids.max", "64");
	json = group_json(group);
	cr_assert(eq(dbl, json_real_value(json_object_get(json, "cpus")), 0.5));
	cr_assert(eq(i64, json_integer_value(json_object_get(json, "pids-max")), 64));
	cr_assert(is_text(json_string_value(json_object_get(json, "cpuset")), "0-1"));
	cr_assert(eq(ptr, json_object_get(json, "memory-max"), NULL));
	json_decref(json);
	remove_group(group);
}

Test(limits, a_small_quota_has_a_longer_period)
{
	struct limits l = {.set = LIMIT_CPUS, .milli_cpus = 20};
	char group[64];

	make_group(group);
	cr_assert(eq(int, group_set(group, true, &l, NULL), 0));
	expect_file(group, "vcpus/cpu.max", "2000 100000");
	make_file(group, "vcpus/cpu.max", "");
	l.milli_cpus = 0;
	cr_assert(eq(int, group_set(group, true, &l, NULL), 0));
	expect_file(group, "vcpus/cpu.max", "max");
	remove_group(group);
}

Test(limits, what_systemd_sets_is_left_to_it)
{
	struct limits l = {.set = LIMIT_WEIGHT | LIMIT_PIDS, .weight = 50, .pids = 64};
	char group[64];

	make_group(group);
	cr_assert(eq(int, group_set(group, true, &l, NULL), 0));
	expect_file(group, "cpu.weight", "");
	expect_file(group, "pids.max", "");
	remove_group(group);
}

Test(limits, a_controller_that_is_missing_is_named)
{
	struct limits l = {.set = LIMIT_MEMORY, .memory = MIB(64)};
	char group[64];
	struct err err;

	make_group(group);
	cr_assert(eq(int, group_divide(group, &l, &err), -EINVAL));
	cr_assert(ne(ptr, strstr(err.text, "controller `memory`"), NULL), "%s", err.text);
	remove_group(group);
}

Test(limits, groups_of_ended_processes_are_removed)
{
	char base[] = "/tmp/torpor-limits.XXXXXX", path[128];
	static const char *const names[] = {"torpor-a-4194999", "torpor-b-1", "torpor-c",
					    "other-4194999"};

	cr_assert(ne(ptr, mkdtemp(base), NULL));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", base, names[i]);
		cr_assert(eq(int, mkdir(path, 0700), 0));
	}
	group_sweep(base);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", base, names[i]);
		cr_assert(eq(int, access(path, F_OK) == 0, i != 0), "%s", names[i]);
	}
	remove_group(base);
}

Test(limits, nothing_limited_needs_no_helper)
{
	struct limits_helper helper = LIMITS_HELPER_NONE;
	struct limits_group group = {0, 0};
	struct limits l = {0};

	cr_assert(eq(int, limits_helper_start(&helper, &l, NULL), 0));
	cr_assert(eq(int, helper.fd, -1));
	cr_assert(eq(int, limits_helper_ask(&helper, "web", &group, NULL), 0));
	cr_assert(eq(int, group.vcpus_fd, -1));
	limits_helper_close(&helper);
}

/* It ends with who asks, and gives no answer to what is no name. */
Test(limits, a_helper_answers_and_ends)
{
	struct limits l = {.set = LIMIT_CPUS, .milli_cpus = 500};
	struct limits_helper helper;
	struct limits_group group;
	struct err err;
	char stop;
	int fd;

	cr_assert(eq(int, limits_helper_start(&helper, &l, NULL), 0));
	cr_assert(eq(int, limits_helper_ask(&helper, "../x", &group, &err), -EINVAL));
	cr_assert(is_text(err.text, "it has no name"));
	fd = dup(helper.child.fd);
	limits_helper_close(&helper);
	cr_assert(eq(sz, (size_t)read(fd, &stop, 1), 0));
	close(fd);
}
