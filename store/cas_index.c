/* Names that stand for several images, one for each platform; see cas.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "store/cas_internal.h"

int cas_put_index(const struct cas *cas, const char *digest, const void *text, size_t len,
		  struct err *err)
{
	char name[CAS_NAME];
	int ret = cas_put_bytes(cas, digest, text, len, err);

	if (ret == 0)
		ret = cas_sync(cas, CAS_BLOBS, err);
	if (ret < 0)
		return ret;
	cas_name(name, CAS_INDEXES, digest);
	if (mkdirat(cas->folder, name, 0700) < 0 && errno != EEXIST)
		return cas_error(cas, errno, name, err);
	return cas_sync(cas, CAS_INDEXES, err);
}

bool cas_is_index(const struct cas *cas, const char *digest)
{
	char name[CAS_NAME];
	struct stat st;

	cas_name(name, CAS_INDEXES, digest);
	return cas->folder >= 0 && fstatat(cas->folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

int cas_index_path(const struct cas *cas, const char *digest, char path[PATH_MAX], struct err *err)
{
	snprintf(path, PATH_MAX, "%s/" CAS_INDEXES "/%s", cas->root, strchr(digest, ':') + 1);
	return cas_is_index(cas, digest)
		       ? 0
		       : err_set(err, ERR_NOT_FOUND, "the store has no index %s", digest);
}

int cas_index_read(struct oci_index *index, const struct cas *cas, const char *digest,
		   struct err *err)
{
	cleanup_free uint8_t *text = NULL;
	size_t len;
	int ret = cas_read(cas, digest, JSON_MAX_BYTES, &text, &len, err);

	*index = (struct oci_index){0};
	if (ret == 0)
		ret = oci_index_decode(index, text, len, err);
	return ret < 0 ? err_context(err, ret, "index %s", digest) : 0;
}

int cas_index_each(const struct oci_index *index, const struct cas *cas,
		   int (*each)(void *opaque, const char *digest,
			       const struct oci_platform *platform, struct err *err),
		   void *opaque, struct err *err)
{
	char path[PATH_MAX];
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < index->count; i++) {
		const struct oci_index_entry *e = &index->item[i];

		if (e->image.digest[0] != '\0' &&
		    cas_image_path(cas, e->image.digest, path, NULL) == 0)
			ret = each(opaque, e->image.digest, &e->platform, err);
	}
	return ret;
}

int cas_choose(const struct cas *cas, const char *name, const char *found,
	       char digest[DIGEST_TEXT_SIZE], struct err *err)
{
	cleanup_oci_index struct oci_index index = {0};
	const struct oci_index_entry *entry;
	char path[PATH_MAX];
	int ret = cas_index_read(&index, cas, found, err);

	if (ret < 0)
		return ret;
	ret = oci_index_choose(&index, &entry, err);
	if (ret < 0)
		return err_context(err, ret, "%s", name);
	strcpy(digest, entry->image.digest);
	return cas_image_path(cas, digest, path, NULL) == 0
		       ? 0
		       : err_set(err, ERR_NOT_FOUND,
				 "the store has no image %s for linux/" OCI_ARCHITECTURE
				 ", only for others",
				 name);
}
