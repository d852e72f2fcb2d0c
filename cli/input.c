/* See input.h. */
#include "cli/input.h"

#include "cli/spool.h"
#include "host/parent.h"
#include "meter/meter.h"

int input_open_archive(struct archive **archive, const char *text,
		       const struct archive_open_params *params, enum sandbox sandbox,
		       struct err *err)
{
	struct archive_open_params how = {.fd = -1};
	struct target input;
	int ret;

	if (params != NULL)
		how = *params;
	ret = spool_input(&input, text, &how.fd, err);
	if (ret < 0)
		return ret;
	ret = sandbox_enter(sandbox, err);
	if (ret < 0)
		return ret;
	meter_run();
	ret = archive_open_with(archive, input.file, &how, err);
	if (ret == 0)
		archive_watch(*archive, meter_progress());
	return ret;
}

int input_open_chain(struct chain **chain, struct keyring **keys, const char *text,
		     const struct key_args *given, struct err *err)
{
	struct archive_open_params params = {.fd = -1};
	struct target input;
	int ret = keys_to_open(given, keys, err);

	if (ret < 0)
		return ret;
	params.keys = *keys;
	ret = spool_input(&input, text, &params.fd, err);
	if (ret < 0)
		return ret;
	ret = sandbox_enter(SANDBOX_CREATE, err);
	if (ret < 0)
		return ret;
	meter_run();
	ret = parent_open(chain, input.file, &params, err);
	if (ret < 0)
		return ret;
	chain_watch(*chain, meter_progress());
	return keys_check_used(given, (*chain)->archive, (*chain)->n, err);
}
