/* torpor completion: print the bash completion. */
#include "cli/command.h"
#include "cli/completion.h"

static int run(struct options *opts, struct err *err)
{
	int ret = options_next(opts, err);

	if (ret == 0)
		ret = options_end(opts, err);
	if (ret < 0)
		return ret;
	completion_print(stdout);
	return 0;
}

const struct command cmd_completion = {
	.name = "completion",
	.args = "",
	.summary = "print the completion for bash",
	.detail = "For the running shell: source <(torpor completion)",
	.options = options_none,
	.run = run,
};
