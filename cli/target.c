/* See target.h. */
#include "cli/target.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/name.h"
#include "host/claim.h"
#include "host/parse.h"

static bool may_be_name(const char *text)
{
	const char *dot = strrchr(text, '.');

	return name_is_valid(text) && (dot == NULL || strcmp(dot, ".torpor") != 0);
}

/* In the store; `what` says what else there could have been. */
static int target_find_stored(struct target *target, const char *what, struct err *err)
{
	int ret = path_store(&target->store, target->name, err);

	if (ret < 0)
		return ret;
	target->kind = TARGET_STORED;
	target->file = target->store.text;
	if (access(target->file, F_OK) < 0)
		return err_set(err, ERR_NOT_FOUND, "no %s or saved machine is named %s", what,
			       target->name);
	return 0;
}

int target_find(struct target *target, const char *text, struct err *err)
{
	*target = (struct target){.kind = TARGET_FILE, .name = text, .file = text};
	if (!may_be_name(text))
		return 0;
	if (claim_is_held(text)) {
		target->kind = TARGET_MACHINE;
		target->file = NULL;
		return 0;
	}
	return access(text, F_OK) == 0 ? 0 : target_find_stored(target, "machine, file", err);
}

int target_find_file(struct target *target, const char *text, struct err *err)
{
	*target = (struct target){.kind = TARGET_FILE, .name = text, .file = text};
	if (!may_be_name(text) || access(text, F_OK) == 0)
		return 0;
	return target_find_stored(target, "file", err);
}
