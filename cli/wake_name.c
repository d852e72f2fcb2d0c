/* See wake_name.h. */
#include "cli/wake_name.h"

#include <stdio.h>
#include <string.h>

#include "base/name.h"

#define ENDING ".torpor"

bool wake_name_option(const char *file, char option[WAKE_NAME_OPTION])
{
	const char *slash = strrchr(file, '/'), *base = slash != NULL ? slash + 1 : file;
	size_t len = strlen(base), ending = strlen(ENDING);
	char name[NAME_SIZE];

	if (len > ending && strcmp(base + len - ending, ENDING) == 0)
		len -= ending;
	if (len >= sizeof(name))
		return false;
	snprintf(name, sizeof(name), "%.*s", (int)len, base);
	if (!name_is_valid(name))
		return false;
	snprintf(option, WAKE_NAME_OPTION, "--as=%s", name);
	return true;
}
