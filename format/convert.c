/* See convert.h. */
#include "format/convert.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/num.h"
#include "format/archive_writer.h"
#include "format/crypto/minisign.h"
#include "format/image/image_pack.h"
#include "state/statefile.h"

#define MAP_SUFFIX ".map"

struct conversion {
	struct archive *from;
	struct archive_writer *to;
	const struct convert_params *params;
};

int archive_config(const struct archive *a, uint8_t **config, size_t *len, struct err *err)
{
	const struct archive_entry *entries;
	uint8_t digest[DIGEST_SIZE];
	char text[DIGEST_TEXT_SIZE];
	int ret;

	(void)archive_entries(a, &entries);
	*len = entries[1].blob.len;
	ret = blob_read_all(&entries[1].blob, JSON_MAX_BYTES, config, err);
	if (ret < 0)
		return err_context(err, ret, "config");
	ret = digest_bytes(*config, *len, digest, err);
	if (ret < 0)
		return err_context(err, ret, "config");
	digest_text(digest, text);
	if (strcmp(text, archive_digest(a)) != 0)
		return err_set(err, ERR_INTEGRITY, "config: SHA-256 differs");
	return 0;
}

/* What is kept in front of the file, where a resume reads it first. */
static int copy_small(struct conversion *c, const struct archive_entry *entry, uint64_t max,
		      struct err *err)
{
	cleanup_free uint8_t *data = NULL;
	int ret = blob_read_all(&entry->blob, max, &data, err);

	if (ret < 0)
		return err_context(err, ret, "%s", entry->role);
	ret = archive_writer_bytes(c->to, entry->role, data, entry->blob.len, err);
	return ret < 0 ? err_context(err, ret, "%s", entry->role) : 0;
}

static int convert_state(struct conversion *c, const struct archive_entry *entry, struct err *err)
{
	return copy_small(c, entry, encrypted_size(STATEFILE_MAX_BYTES), err);
}

static int copy_layer(struct conversion *c, const struct archive_entry *entry, struct err *err)
{
	return archive_writer_layer(c->to, entry->descriptor, &entry->blob, err);
}

static int copy_hot(struct conversion *c, const struct archive_entry *entry, struct err *err)
{
	return c->params->drop_hot || c->params->hot != NULL ? 0 : copy_layer(c, entry, err);
}

static int recode_or_copy(struct conversion *c, const struct image *image, struct err *err)
{
	const struct convert_params *p = c->params;
	bool packed = image->encoding == IMAGE_PACKED;

	if (p->encoding == CONVERT_PACK || (p->encoding == CONVERT_KEEP && packed))
		archive_writer_pack(c->to, p->level > 0 ? p->level : IMAGE_PACK_LEVEL);
	else
		archive_writer_flat(c->to);
	if (p->encoding == CONVERT_PACK && packed && p->level > 0)
		return archive_writer_recode_image(c->to, image->role, image, err);
	return archive_writer_copy_image(c->to, image->role, image, err);
}

/* The map of an image stands for all of it. */
static int convert_image_of(struct conversion *c, const struct archive_entry *entry,
			    struct err *err)
{
	char role[OCI_ROLE_SIZE];

	snprintf(role, sizeof(role), "%.*s", (int)(strlen(entry->role) - strlen(MAP_SUFFIX)),
		 entry->role);
	return recode_or_copy(c, archive_image(c->from, role), err);
}

/* Signatures are put in front of everything else (put_signature()). */
static int convert_entry(struct conversion *c, const struct archive_entry *entry, struct err *err)
{
	static const struct {
		const char *media_type;
		/* NULL: goes along with its image. */
		int (*copy)(struct conversion *c, const struct archive_entry *entry,
			    struct err *err);
	} kinds[] = {
		{OCI_STATE_TYPE, convert_state}, {OCI_MAP_TYPE, convert_image_of},
		{OCI_HASHES_TYPE, NULL},	 {OCI_FLAT_TYPE, NULL},
		{OCI_PACKED_TYPE, NULL},	 {OCI_HOT_TYPE, copy_hot},
		{OCI_HOTLIST_TYPE, copy_hot},
	};

	if (strcmp(entry->role, ROLE_SIGNATURE) == 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strcmp(kinds[i].media_type, entry->media_type) == 0)
			return kinds[i].copy != NULL ? kinds[i].copy(c, entry, err) : 0;
	}
	return copy_layer(c, entry, err);
}

/* The new one, or the one there is. */
static int put_signature(struct conversion *c, const struct archive_entry *entry, size_t count,
			 struct err *err)
{
	const char *text = c->params->signature;

	if (text != NULL)
		return archive_writer_bytes(c->to, ROLE_SIGNATURE, text, strlen(text), err);
	for (; count > 0; count--, entry++) {
		if (strcmp(entry->role, ROLE_SIGNATURE) == 0)
			return copy_small(c, entry, MINISIGN_TEXT, err);
	}
	return 0;
}

static int convert_contents(struct conversion *c, struct err *err)
{
	const struct archive_entry *entry;
	size_t count = archive_entries(c->from, &entry);
	int ret = put_signature(c, entry, count, err);

	if (ret < 0)
		return ret;
	for (size_t i = 0; i < c->params->nhot; i++) {
		ret = hot_write(c->to, &c->params->hot[i], err);
		if (ret < 0)
			return ret;
	}
	for (; count > 0; count--, entry++) {
		/* Manifest and config have no descriptor: they are made last. */
		if (entry->descriptor == NULL)
			continue;
		ret = convert_entry(c, entry, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int convert_publish(struct conversion *c, struct err *err)
{
	cleanup_free uint8_t *config = NULL;
	size_t len;
	int ret = archive_config(c->from, &config, &len, err);

	if (ret < 0)
		return ret;
	return archive_writer_publish_as(c->to, archive_appliance(c->from), config, len, err);
}

/* What is to be mapped would be in the file in clear. */
static int check_encrypted(const struct archive *from, const struct convert_params *params,
			   struct err *err)
{
	if (archive_appliance(from)->encryption.lock.kind == ENCRYPTION_NONE)
		return 0;
	if (params->encoding == CONVERT_FLAT)
		return err_set(err, ERR_USAGE, "it is encrypted, and cannot be flat");
	return params->nhot == 0
		       ? 0
		       : err_set(err, ERR_USAGE, "it is encrypted, and cannot have a hot set");
}

static int convert_into(struct archive *from, struct archive_writer *to,
			const struct convert_params *params, struct err *err)
{
	struct conversion c = {.from = from, .to = to, .params = params};
	int ret;

	archive_writer_watch(to, archive_progress(from));
	archive_writer_like(to, from);
	ret = convert_contents(&c, err);
	if (ret < 0)
		return err_context(err, ret, "%s", archive_path(from));
	ret = convert_publish(&c, err);
	return ret < 0 ? err_context(err, ret, "%s", archive_path(from)) : 0;
}

static int convert_check(struct archive *from, const struct convert_params *params, struct err *err)
{
	int ret = check_encrypted(from, params, err);

	if (ret < 0)
		return err_context(err, ret, "%s", archive_path(from));
	progress_expect(archive_progress(from), archive_image_bytes(from));
	return archive_ensure_verified(from, err);
}

int convert_archive(struct archive *from, const char *target, const struct convert_params *params,
		    struct err *err)
{
	cleanup_archive_writer struct archive_writer *to = NULL;
	int ret = convert_check(from, params, err);

	if (ret < 0)
		return ret;
	ret = archive_writer_open(&to, target, err);
	return ret < 0 ? ret : convert_into(from, to, params, err);
}

int convert_archive_stream(struct archive *from, int fd, const struct convert_params *params,
			   struct err *err)
{
	cleanup_archive_writer struct archive_writer *to = NULL;
	int ret = convert_check(from, params, err);

	if (ret < 0)
		return ret;
	ret = archive_writer_open_stream(&to, fd, err);
	return ret < 0 ? ret : convert_into(from, to, params, err);
}
