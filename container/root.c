/* See root.h. */
#include "container/root.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

static const char *const schemes[] = {"docker://",
				      "oci:", "oci-archive:", "docker-archive:", "tar:"};

bool container_source_has_scheme(const char *source)
{
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
		if (strncmp(source, schemes[i], strlen(schemes[i])) == 0)
			return true;
	}
	return false;
}

int container_root(const struct container_root_params *p, struct container_root *out,
		   struct err *err)
{
	*out = (struct container_root){0};
	return err_set(err, ERR_FAILED, "%s: no root can be made of it yet", p->source);
}

void container_root_free(struct container_root *root)
{
	image_config_free(&root->config);
	free(root->layer);
	*root = (struct container_root){0};
}
