/* See fill.h. */
#include "instance/fill.h"

#include <string.h>

#include "base/num.h"

static const char *const names[] = {
	[PAGER_FILL_NONE] = "none",
	[PAGER_FILL_IDLE] = "idle",
	[PAGER_FILL_FULL] = "full",
};

const char *fill_name(enum pager_fill fill)
{
	return names[fill];
}

int fill_parse(const char *text, enum pager_fill *fill, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(text, names[i]) == 0) {
			*fill = (enum pager_fill)i;
			return 0;
		}
	}
	return err_set(err, ERR_USAGE, "--fill %s: none, idle or full", text);
}
