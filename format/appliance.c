/* The appliance's description in memory; see appliance.h. Pure. */
#include "format/appliance.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int appliance_init(struct appliance *a, struct err *err)
{
	*a = (struct appliance){.cmdline = strdup("")};
	return a->cmdline != NULL ? 0 : err_sys(err, ENOMEM, "describe a machine");
}

void appliance_free(struct appliance *a)
{
	free(a->cmdline);
	free(a->annotations);
	*a = (struct appliance){0};
}

bool appliance_guest_path(const char *path)
{
	size_t len = strlen(path), part;

	if (path[0] != '/' || len > APPLIANCE_GUEST_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (path[i] <= ' ' || path[i] > '~' || path[i] == ':')
			return false;
	}
	for (const char *at = path; *at == '/'; at += part) {
		part = strcspn(++at, "/");
		if (part == 0 || (part == 1 && at[0] == '.') ||
		    (part == 2 && at[0] == '.' && at[1] == '.'))
			return false;
	}
	return true;
}

int appliance_copy(struct appliance *to, const struct appliance *from, struct err *err)
{
	*to = *from;
	to->cmdline = strdup(from->cmdline);
	to->annotations = from->annotations != NULL ? strdup(from->annotations) : NULL;
	if (to->cmdline != NULL && (to->annotations == NULL) == (from->annotations == NULL))
		return 0;
	appliance_free(to);
	return err_sys(err, ENOMEM, "copy a description");
}

static int compare_roles(const void *a, const void *b)
{
	return strcmp(((const struct appliance_content *)a)->role,
		      ((const struct appliance_content *)b)->role);
}

void appliance_sort_contents(struct appliance *a)
{
	qsort(a->content, a->ncontents, sizeof(a->content[0]), compare_roles);
}

const struct appliance_disk *appliance_outside(const struct appliance *a)
{
	for (uint32_t i = 0; i < a->ndisks; i++) {
		if (a->disk[i].outside[0] != '\0')
			return &a->disk[i];
	}
	return NULL;
}

const char *appliance_content(const struct appliance *a, const char *role)
{
	for (uint32_t i = 0; i < a->ncontents; i++) {
		if (strcmp(a->content[i].role, role) == 0)
			return a->content[i].digest;
	}
	return NULL;
}
