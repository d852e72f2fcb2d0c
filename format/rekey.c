/* See rekey.h. */
#include "format/rekey.h"

#include <stdio.h>
#include <string.h>

#include "format/archive_writer.h"

/* The map of an image stands for all of it. */
static int rekey_image(struct archive *from, struct archive_writer *to, const char *map,
		       struct err *err)
{
	char role[OCI_ROLE_SIZE];

	snprintf(role, sizeof(role), "%.*s", (int)(strlen(map) - strlen(".map")), map);
	return archive_writer_copy_image(to, role, archive_image(from, role), err);
}

static int rekey_entry(struct archive *from, struct archive_writer *to,
		       const struct archive_entry *entry, struct err *err)
{
	struct blob blob;

	if (strcmp(entry->role, ROLE_STATE) == 0)
		return archive_writer_copy_state(to, from, err);
	if (strcmp(entry->media_type, OCI_MAP_TYPE) == 0)
		return rekey_image(from, to, entry->role, err);
	if (strcmp(entry->role, ROLE_KERNEL) != 0 && strcmp(entry->role, ROLE_INITRD) != 0)
		return 0;
	return archive_blob(from, entry->role, &blob)
		       ? archive_writer_blob(to, entry->role, &blob, err)
		       : 0;
}

static int rekey_contents(struct archive *from, struct archive_writer *to, int level,
			  const struct keyring *keys, struct err *err)
{
	const struct archive_entry *entry;
	size_t count = archive_entries(from, &entry);
	int ret;

	if (level > 0)
		archive_writer_pack(to, level);
	if (keys != NULL) {
		ret = archive_writer_encrypt(to, keys, err);
		if (ret < 0)
			return ret;
	}
	for (; count > 0; count--, entry++) {
		ret = rekey_entry(from, to, entry, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int rekey_archive(struct archive *from, const char *target, int level, const struct keyring *keys,
		  char digest[DIGEST_TEXT_SIZE], struct err *err)
{
	cleanup_archive_writer struct archive_writer *to = NULL;
	int ret = archive_check_open(from, err);

	if (ret < 0)
		return ret;
	progress_expect(archive_progress(from), archive_image_bytes(from));
	ret = archive_ensure_verified(from, err);
	if (ret < 0)
		return ret;
	ret = archive_writer_open(&to, target, err);
	if (ret < 0)
		return ret;
	archive_writer_watch(to, archive_progress(from));
	ret = rekey_contents(from, to, level, keys, err);
	if (ret < 0)
		return err_context(err, ret, "%s", archive_path(from));
	ret = archive_writer_publish(to, archive_appliance(from), digest, err);
	return ret < 0 ? err_context(err, ret, "%s", archive_path(from)) : 0;
}
