/*
 * What `torpor serve` has, at the moment when it is asked for: the images of the store
 * (store/cas.h), the appliances that were saved into it, and files and folders that were named.
 *
 *     catalog_new → catalog_add_folder | catalog_add_file … → the others → catalog_free
 *
 * A file NAME.torpor is the file NAME.torpor, and the image NAME:latest, if NAME can be one of a
 * registry: its manifest and blobs lie in it, and are found by their offsets. Its digests are those
 * that it says; who fetches them compares. An appliance comes before an image of that name, as for
 * other verbs. Folders are listed anew for each question; a file that is named is the one that was
 * there at the start.
 *
 * An index of images for several platforms is served as it is, and of its images those that the store
 * has: torpor pull --all-platforms.
 *
 * A blob is found by its digest alone, so any repository has it that there is.
 *
 * An image whose manifest was given away stays for HOLD_SECONDS after the last question about its
 * repository: torpor gc leaves it, and a file that is replaced or removed stays open. So a pull that
 * has begun can end. What has no name any more is not found by that name.
 *
 * Any thread, but for catalog_new() to catalog_add_file(). Functions with an `err` return 0, or -errno
 * with *err set: ERR_NOT_FOUND with -ENOENT for what is not there, otherwise what cas.h and archive.h
 * say, or -ENOMEM.
 */
#ifndef TORPOR_SERVE_CATALOG_H
#define TORPOR_SERVE_CATALOG_H

#include "base/json.h"
#include "format/oci.h"
#include "store/cas.h"

#define HOLD_SECONDS 900u

struct catalog;

/* `images`: the root of the store, which need not be there yet, or NULL: none. `report` gets a line
 * about each file that cannot be served, on any thread. */
int catalog_new(struct catalog **out, const char *images,
		void (*report)(void *opaque, const char *line), void *opaque, struct err *err);
/* NULL is fine. */
void catalog_free(struct catalog *c);

/* All NAME.torpor in it that are regular files. */
int catalog_add_folder(struct catalog *c, const char *path, struct err *err);
/* The last part of its path is its name. ERR_USAGE when that is not NAME.torpor, or there already;
 * ERR_INTEGRITY when it is no appliance. */
int catalog_add_file(struct catalog *c, const char *path, struct err *err);

/* Something to be sent. */
struct catalog_item {
	int fd; /* the caller's to close */
	uint64_t offset, len;
	char digest[DIGEST_TEXT_SIZE]; /* "": it is a file */
	char media_type[OCI_TYPE_SIZE];
	char entity_tag[80]; /* with its quotation marks (RFC 9110, 8.8.3) */
};

bool catalog_has_repository(struct catalog *c, const char *repository);

/* By tag, or by digest when `tag` is "". The tag parent-HEX is the appliance with this identity. */
int catalog_manifest(struct catalog *c, const char *repository, const char *tag, const char *digest,
		     struct catalog_item *item, struct err *err);
int catalog_blob(struct catalog *c, const char *repository, const char *digest,
		 struct catalog_item *item, struct err *err);
/* NAME.torpor */
int catalog_file(struct catalog *c, const char *name, struct catalog_item *item, struct err *err);

/* The descriptors of what refers to an image, as an array; of the artifact type that is given, or all
 * for "". None for what is not there. */
int catalog_referrers(struct catalog *c, const char *digest, const char *type, json_t **list,
		      struct err *err);

#define CATALOG_NAMES 1000u

struct catalog_names {
	char (*item)[NAME_MAX + 1]; /* owned, sorted */
	size_t count;
	bool more;
};

/* The first `max` tags, at most CATALOG_NAMES, behind `last` ("": from the beginning). */
int catalog_tags(struct catalog *c, const char *repository, const char *last, size_t max,
		 struct catalog_names *tags, struct err *err);
/* The same of all repositories, without their hosts: a name that two hosts have is there once. */
int catalog_repositories(struct catalog *c, const char *last, size_t max,
			 struct catalog_names *names, struct err *err);
/* The same of all files NAME.torpor. */
int catalog_files(struct catalog *c, const char *last, size_t max, struct catalog_names *names,
		  struct err *err);
void catalog_names_free(struct catalog_names *names);

#define cleanup_catalog_names __attribute__((cleanup(catalog_names_free)))

#endif
