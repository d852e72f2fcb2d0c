/* What push.c and push_index.c share. Functions return what transfer.h says. */
#ifndef TORPOR_REGISTRY_PUSH_INTERNAL_H
#define TORPOR_REGISTRY_PUSH_INTERNAL_H

#include <stdatomic.h>

#include "registry/transfer.h"

struct push {
	struct registry *registry;
	struct registry_push *params;
	const struct archive_entry **blob; /* each digest once */
	atomic_bool chunked;		   /* the registry has refused a whole one */
	atomic_uint_fast64_t sent, there;
};

/* A file behind those that it stands on, and its signature; `name` is a tag or its digest. */
int push_chain(struct push *p, struct http *http, const struct chain *chain, const char *name,
	       struct err *err);
/* It has the manifest or index of this digest at `name`, a tag or that digest. What cannot be asked is not
 * there. */
bool push_has(struct push *p, struct http *http, const char *name, const char *digest);
/* A manifest or index. */
int push_text(struct push *p, struct http *http, const char *name, const char *type,
	      const char *digest, const void *text, size_t len, struct err *err);

#endif
