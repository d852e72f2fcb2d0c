/* torpor compat: could this host run that appliance? */
#include "cli/command.h"
#include "cli/json_out.h"
#include "cli/print_line.h"
#include "cli/spool.h"
#include "host/sandbox.h"
#include "instance/source.h"

/* The very questions that run and resume ask first. */
static int check_host(const struct appliance *a, struct err *err)
{
	struct arch_cpu *cpu = NULL;
	const char *chosen;
	struct kvm kvm;
	int ret = a->live ? kvm_open(&kvm, err) : kvm_open_device(&kvm, err);

	if (ret < 0)
		return ret;
	if (a->live)
		ret = arch_compat(&kvm, &a->cpu, &a->needs, err);
	else
		ret = arch_cpu_create(&kvm, a->cpu.profile, &cpu, &chosen, err);
	arch_cpu_free(cpu);
	kvm_close(&kvm);
	return ret;
}

static int check_file(const char *text, const char **path, struct target *input, struct err *err)
{
	struct archive_open_params params = {.fd = -1};
	struct source source;
	int ret = spool_input(input, text, &params.fd, err);

	if (ret < 0)
		return ret;
	*path = input->file;
	ret = sandbox_enter(SANDBOX_ASK, err);
	if (ret < 0)
		return ret;
	ret = source_from_file(&source, input->file, &params, err);
	if (ret < 0)
		return ret;
	ret = source_check(&source, err);
	if (ret == 0)
		ret = check_host(&source.appliance, err);
	source_close(&source);
	return ret;
}

static int cmd_compat_run(struct options *opts, struct err *err)
{
	const char *text, *path;
	struct target input;
	bool json = false;
	int ret = options_flags(opts, OPTION_JSON, &json, err);

	if (ret < 0)
		return ret;
	ret = options_one_operand(opts, "FILE or NAME", &text, err);
	if (ret < 0)
		return ret;
	path = text;
	ret = check_file(text, &path, &input, err);
	if (ret < 0 && err->kind != ERR_INCOMPATIBLE)
		return ret;
	if (json)
		json_out(json_pack("{s:s,s:b,s:s}", "file", path, "compatible", ret == 0, "reason",
				   ret == 0 ? "" : err->text));
	else if (ret == 0)
		print_line(stdout, "%s: this host can run it", path);
	return ret;
}

const struct command cmd_compat = {
	.name = "compat",
	.args = "FILE|NAME",
	.summary = "say whether this host can run an appliance, and what it lacks",
	.options = options_json,
	.run = cmd_compat_run,
};
