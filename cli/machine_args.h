/* The options that describe a machine, shared by `build` and `run`. */
#ifndef TORPOR_CLI_MACHINE_ARGS_H
#define TORPOR_CLI_MACHINE_ARGS_H

#include "cli/disk_args.h"
#include "cli/options.h"
#include "host/parse.h"

enum machine_option {
	OPT_KERNEL = OPTION_LONG_ONLY + 100,
	OPT_INITRD,
	OPT_APPEND,
	OPT_CPU,
	OPT_CONSOLE,
	OPT_MEMORY = 'm',
	OPT_VCPUS = 'c',
};

/* clang-format off */
#define MACHINE_OPTIONS                                                                            \
	{OPT_KERNEL, "kernel", "FILE", "kernel: a bzImage, or an ELF with a PVH note"},            \
	{OPT_INITRD, "initrd", "FILE", "initial RAM disk"},                                        \
	{OPT_APPEND, "append", "TEXT", "kernel command line"},                                     \
	DISK_OPTION,                                                                               \
	VOLUME_OPTION,                                                                               \
	DISK_LIMIT_OPTIONS,                                                                          \
	{OPT_MEMORY, "memory", "SIZE", "memory, such as 512M or 2G, in MiB without a letter; default 256M"},                \
	{OPT_VCPUS, "vcpus", "N", "virtual CPUs, 1 to 64; default 1"},                              \
	{OPT_CPU, "cpu", "v1|v2|v3|host", "CPU that the guest sees; default the best of v1 to v3 that this host has"}, \
	{OPT_CONSOLE, "console", "ttyS0|hvc0", "device that gets the keyboard's input; default ttyS0"}
/* clang-format on */

struct machine_args {
	const char *kernel; /* NULL: not given, here and below */
	const char *initrd;
	const char *append;
	const char *cpu;
	uint64_t memory; /* 0: not given */
	uint32_t vcpus;	 /* 0: not given */
	bool has_console;
	enum appliance_console console;
	struct disk_args disks;
};

/* Take an option that is one of MACHINE_OPTIONS: 1, 0 when it is not, or -EINVAL with
 * ERR_USAGE. */
int machine_args_take(struct machine_args *args, int id, const char *value, struct err *err);
/* Put what was given over what `a` says already. Returns 0, -EINVAL with ERR_USAGE, or -ENOMEM. */
int machine_args_apply(const struct machine_args *args, struct appliance *a, struct err *err);

const char *console_name(enum appliance_console console);

#endif
