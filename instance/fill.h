/* The words for how memory that was not touched yet is loaded (snapshot/pager.h). */
#ifndef TORPOR_INSTANCE_FILL_H
#define TORPOR_INSTANCE_FILL_H

#include "snapshot/pager.h"

#define FILL_WORDS "none|idle|full"

const char *fill_name(enum pager_fill fill);
/* Returns 0, or -EINVAL with ERR_USAGE for any other word. */
int fill_parse(const char *text, enum pager_fill *fill, struct err *err);

#endif
