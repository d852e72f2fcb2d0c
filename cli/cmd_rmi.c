/* torpor rmi: take names from images. */
#include "cli/command.h"
#include "cli/registry_args.h"

static int cmd_rmi_run(struct options *opts, struct err *err)
{
	cleanup_cas struct cas cas = {.folder = -1, .lock = -1};
	const char *text;
	int ret = options_next(opts, err);

	if (ret < 0)
		return ret;
	ret = registry_args_store(&cas, CAS_LOOK, err);
	if (ret < 0)
		return ret;
	text = options_operand(opts);
	if (text == NULL)
		return options_missing(opts, "REF", err);
	for (; text != NULL; text = options_operand(opts)) {
		struct reference ref;

		ret = reference_parse(&ref, text, err);
		if (ret < 0)
			return ret;
		ret = cas_remove_ref(&cas, &ref, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

const struct command cmd_rmi = {
	.name = "rmi",
	.args = "REF…",
	.summary = "take names from images in the store",
	.detail =
		"The space is free after torpor gc, unless another name or an increment needs it.",
	.options = options_none,
	.run = cmd_rmi_run,
};
