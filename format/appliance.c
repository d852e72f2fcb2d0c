/* The appliance's description in memory; see appliance.h. Pure. */
#include "format/appliance.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void appliance_init(struct appliance *a)
{
	*a = (struct appliance){.cmdline = strdup("")};
	if (a->cmdline == NULL)
		abort();
}

void appliance_free(struct appliance *a)
{
	free(a->cmdline);
	*a = (struct appliance){0};
}

int appliance_copy(struct appliance *to, const struct appliance *from, struct err *err)
{
	*to = *from;
	to->cmdline = strdup(from->cmdline);
	return to->cmdline != NULL ? 0 : err_sys(err, ENOMEM, "copy a description");
}
