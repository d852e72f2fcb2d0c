/* torpor version: of the program, the file format and the machine types. */
#include "base/num.h"
#include "cli/command.h"
#include "cli/json_out.h"
#include "format/appliance.h"
#include "vmm/machine.h"

static int cmd_version_run(struct options *opts, struct err *err)
{
	char format[16];
	bool json = false;
	int ret = options_flags(opts, OPTION_JSON, &json, err);

	if (ret < 0)
		return ret;
	ret = options_end(opts, err);
	if (ret < 0)
		return ret;
	snprintf(format, sizeof(format), "%d.%d", APPLIANCE_FORMAT_MAJOR, APPLIANCE_FORMAT_MINOR);
	if (json)
		json_out(json_pack("{s:s,s:s,s:s,s:[s]}", "version", TORPOR_VERSION, "format",
				   format, "arch", ARCH_NAME, "machines", MACHINE_TYPE));
	else
		printf("torpor %s, file format %s, machine types for %s: %s\n", TORPOR_VERSION,
		       format, ARCH_NAME, MACHINE_TYPE);
	return 0;
}

const struct command cmd_version = {
	.name = "version",
	.args = "",
	.summary = "print the versions of program, file format and machine types",
	.options = options_json,
	.run = cmd_version_run,
};
