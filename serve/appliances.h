/*
 * Files NAME.torpor that are served: where in each the blobs lie. A file is opened and read once
 * (archive.h), and again when it is another one by its inode, size and times. See catalog.h, which
 * has the lock under which all of this is called.
 *
 * Functions return 0, or -errno with *err set: ERR_NOT_FOUND with -ENOENT for what is not there, or
 * what archive.h says. The others cannot fail.
 */
#ifndef TORPOR_SERVE_APPLIANCES_H
#define TORPOR_SERVE_APPLIANCES_H

#include "serve/catalog.h"

/* Of files that are kept in mind; more are not served. */
#define APPLIANCES_MAX 4096u

struct appliances;

int appliances_new(struct appliances **out, void (*report)(void *opaque, const char *line),
		   void *opaque, struct err *err);
/* NULL is fine. */
void appliances_free(struct appliances *a);

int appliances_add_folder(struct appliances *a, const char *path, struct err *err);
int appliances_add_file(struct appliances *a, const char *path, struct err *err);

/* Call `each` for the names of the files that are there now, in no order; one may come twice. */
void appliances_each(struct appliances *a, void (*each)(void *opaque, const char *name),
		     void *opaque);

/* Whether there is a file REPOSITORY.torpor. */
bool appliances_has(struct appliances *a, const char *repository);

/* The manifest of REPOSITORY.torpor, which is held from then on. */
int appliances_by_name(struct appliances *a, const char *repository, struct catalog_item *item,
		       struct err *err);
/* The manifest of the appliance with this identity, which is held for that repository. */
int appliances_by_identity(struct appliances *a, const char *repository, const char *identity,
			   struct catalog_item *item, struct err *err);
/* A blob of any of them; a manifest alone, if that is asked for. */
int appliances_by_digest(struct appliances *a, const char *digest, bool manifest,
			 struct catalog_item *item, struct err *err);
/* A whole file. */
int appliances_file(struct appliances *a, const char *name, struct catalog_item *item,
		    struct err *err);

/* Somebody asks about a repository: what it holds is held on, and what was not asked about for
 * `limit_ns` is not held any more. */
void appliances_touch(struct appliances *a, const char *repository, uint64_t limit_ns);

#endif
