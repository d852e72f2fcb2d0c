/* torpor logout: forget the credentials for a registry. */
#include "cli/command.h"
#include "cli/registry_args.h"
#include "registry/credentials.h"

static int cmd_logout_run(struct options *opts, struct err *err)
{
	struct reference ref;
	const char *host;
	int ret = options_next(opts, err);

	if (ret < 0)
		return ret;
	ret = options_one_operand(opts, "HOST", &host, err);
	if (ret < 0)
		return ret;
	ret = registry_args_host(&ref, host, err);
	if (ret < 0)
		return ret;
	ret = credentials_erase(ref.host, err);
	if (ret < 0)
		return ret;
	return ret > 0 ? 0 : err_set(err, ERR_NOT_FOUND, "there are no credentials for %s", host);
}

const struct command cmd_logout = {
	.name = "logout",
	.args = "HOST[:PORT]",
	.summary = "forget the credentials for a registry",
	.detail = "They are removed from the files, and from the helper, that torpor login, docker "
		  "and podman use.",
	.options = options_none,
	.run = cmd_logout_run,
};
