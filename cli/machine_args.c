/* See machine_args.h. */
#include "cli/machine_args.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "vmm/machine.h"

static int take_memory(struct machine_args *args, const char *value, struct err *err)
{
	int ret = parse_memory(value, &args->memory, err);

	if (ret < 0)
		return err_context(err, ret, "--memory");
	if (args->memory < MACHINE_MIN_MEMORY || args->memory > MACHINE_MAX_MEMORY)
		return err_set(err, ERR_USAGE, "--memory: %s is not between 1M and 256G", value);
	if (args->memory % FRAME_SIZE != 0)
		return err_set(err, ERR_USAGE, "--memory: %s is not a multiple of 64K", value);
	return 0;
}

static int take_vcpus(struct machine_args *args, const char *value, struct err *err)
{
	uint64_t number;
	int ret = parse_number(value, "--vcpus", 1, MACHINE_MAX_VCPUS, &number, err);

	if (ret < 0)
		return ret;
	args->vcpus = (uint32_t)number;
	return 0;
}

static int take_cpu(struct machine_args *args, const char *value, struct err *err)
{
	for (const char *const *profile = arch_cpu_profiles; *profile != NULL; profile++) {
		if (strcmp(*profile, value) == 0) {
			args->cpu = value;
			return 0;
		}
	}
	return err_set(err, ERR_USAGE, "--cpu: '%s' is not %s", value, arch_cpu_profiles_text);
}

const char *console_name(enum appliance_console console)
{
	return console == CONSOLE_HVC ? "hvc0" : "ttyS0";
}

static int take_console_device(struct machine_args *args, const char *value, struct err *err)
{
	args->has_console = true;
	args->console = strcmp(value, "hvc0") == 0 ? CONSOLE_HVC : CONSOLE_SERIAL;
	if (strcmp(value, console_name(args->console)) != 0)
		return err_set(err, ERR_USAGE, "--console: '%s' is not ttyS0 or hvc0", value);
	return 0;
}

int machine_args_take(struct machine_args *args, int id, const char *value, struct err *err)
{
	int ret = disk_args_take(&args->disks, id, value, err);

	if (ret != 0)
		return ret;
	switch (id) {
	case OPT_KERNEL:
		args->kernel = value;
		break;
	case OPT_INITRD:
		args->initrd = value;
		break;
	case OPT_APPEND:
		args->append = value;
		break;
	case OPT_MEMORY:
		ret = take_memory(args, value, err);
		break;
	case OPT_VCPUS:
		ret = take_vcpus(args, value, err);
		break;
	case OPT_CPU:
		ret = take_cpu(args, value, err);
		break;
	case OPT_CONSOLE:
		ret = take_console_device(args, value, err);
		break;
	default:
		return 0;
	}
	return ret < 0 ? ret : 1;
}

int machine_args_apply(const struct machine_args *args, struct appliance *a, struct err *err)
{
	char *cmdline;

	if (args->memory != 0)
		a->memory = args->memory;
	if (args->vcpus != 0)
		a->vcpus = args->vcpus;
	if (args->has_console)
		a->console = args->console;
	if (args->cpu != NULL)
		snprintf(a->cpu.profile, sizeof(a->cpu.profile), "%s", args->cpu);
	if (args->append == NULL)
		return 0;
	if (strlen(args->append) > APPLIANCE_MAX_CMDLINE)
		return err_set(err, ERR_USAGE, "--append: longer than %u bytes",
			       APPLIANCE_MAX_CMDLINE);
	cmdline = strdup(args->append);
	if (cmdline == NULL)
		return err_sys(err, ENOMEM, "--append");
	free(a->cmdline);
	a->cmdline = cmdline;
	return 0;
}
