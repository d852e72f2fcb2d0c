/* See rekey.h. */
#include "format/rekey.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "format/archive_writer.h"

static int copy_state(struct archive *from, struct archive_writer *to, struct err *err)
{
	cleanup_free uint8_t *state = NULL;
	struct blob blob;
	int ret;

	/* A live appliance has one, of a size that its reader has found fit. */
	if (!archive_blob(from, ROLE_STATE, &blob))
		return 0;
	state = malloc(blob.len + 1);
	if (state == NULL)
		return err_sys(err, ENOMEM, "read the state");
	ret = blob_read(&blob, 0, state, blob.len, err);
	return ret < 0 ? err_context(err, ret, ROLE_STATE)
		       : archive_writer_bytes(to, ROLE_STATE, state, blob.len, err);
}

/* The map of an image stands for all of it. */
static int copy_image(struct archive *from, struct archive_writer *to, const char *map,
		      struct err *err)
{
	char role[OCI_ROLE_SIZE];

	snprintf(role, sizeof(role), "%.*s", (int)(strlen(map) - strlen(".map")), map);
	return archive_writer_copy_image(to, role, archive_image(from, role), err);
}

static int copy_entry(struct archive *from, struct archive_writer *to,
		      const struct archive_entry *entry, struct err *err)
{
	struct blob blob;

	if (strcmp(entry->role, ROLE_STATE) == 0)
		return copy_state(from, to, err);
	if (strcmp(entry->media_type, OCI_MAP_TYPE) == 0)
		return copy_image(from, to, entry->role, err);
	if (strcmp(entry->role, ROLE_KERNEL) != 0 && strcmp(entry->role, ROLE_INITRD) != 0)
		return 0;
	return archive_blob(from, entry->role, &blob)
		       ? archive_writer_blob(to, entry->role, &blob, err)
		       : 0;
}

static int copy_all(struct archive *from, struct archive_writer *to, int level,
		    const struct keyring *keys, struct err *err)
{
	const struct archive_entry *entry;
	size_t count = archive_entries(from, &entry);
	int ret = 0;

	if (level > 0)
		archive_writer_pack(to, level);
	if (keys != NULL)
		ret = archive_writer_encrypt(to, keys, err);
	for (; ret == 0 && count > 0; count--, entry++)
		ret = copy_entry(from, to, entry, err);
	return ret;
}

int rekey_archive(struct archive *from, const char *target, int level, const struct keyring *keys,
		  char digest[DIGEST_TEXT_SIZE], struct err *err)
{
	struct archive_writer *to;
	int ret = archive_check_open(from, err);

	if (ret == 0)
		ret = archive_ensure_verified(from, err);
	if (ret == 0)
		ret = archive_writer_open(&to, target, err);
	if (ret < 0)
		return ret;
	ret = copy_all(from, to, level, keys, err);
	if (ret == 0)
		ret = archive_writer_publish(to, archive_appliance(from), digest, err);
	archive_writer_free(to);
	return ret < 0 ? err_context(err, ret, "%s", archive_path(from)) : 0;
}
