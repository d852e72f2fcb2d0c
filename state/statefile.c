/* The state blob's frame; see statefile.h. The bytes are hostile. Pure, no locks. */
#include "state/statefile.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/num.h"

#define MAGIC	     "TORPORST"
#define MAGIC_SIZE   8u
#define FORMAT	     1u
#define FILE_HEAD    16u
#define SECTION_HEAD 8u

void statefile_begin(struct buf *out)
{
	buf_add(out, MAGIC, MAGIC_SIZE);
	buf_add_le32(out, FORMAT);
	buf_add_le32(out, 0);
}

size_t statefile_begin_section(struct buf *out, const char *name, uint16_t version)
{
	size_t name_len = strlen(name), mark = out->len;

	assert(name_len > 0 && name_len <= STATEFILE_NAME_MAX);
	buf_add_le16(out, (uint16_t)name_len);
	buf_add_le16(out, version);
	buf_add_le32(out, 0);
	buf_add(out, name, name_len);
	return mark;
}

void statefile_end_section(struct buf *out, size_t mark)
{
	uint8_t *head = out->data + mark;

	if (buf_failed(out))
		return;
	le_put32(head + 4, (uint32_t)(out->len - mark - SECTION_HEAD - le_get16(head)));
	le_put32(out->data + MAGIC_SIZE + 4, le_get32(out->data + MAGIC_SIZE + 4) + 1);
}

void statefile_add(struct buf *out, const char *name, const struct state_table *table,
		   const void *obj)
{
	size_t mark = statefile_begin_section(out, name, table->version);

	state_encode(table, obj, out);
	statefile_end_section(out, mark);
}

int statefile_end(struct buf *out, struct err *err)
{
	if (buf_failed(out))
		return err_sys(err, ENOMEM, "encode the state");
	if (out->len > STATEFILE_MAX_BYTES)
		return err_set(err, ERR_FAILED, "the state is larger than %u bytes",
			       STATEFILE_MAX_BYTES);
	return 0;
}

static int blob_damaged(struct err *err, const char *what)
{
	return err_set(err, ERR_INTEGRITY, "state blob: %s", what);
}

static const struct statefile_section *find_section(const struct statefile *sf, const char *name)
{
	for (uint32_t i = 0; i < sf->nsections; i++) {
		if (strcmp(sf->sections[i].name, name) == 0)
			return &sf->sections[i];
	}
	return NULL;
}

/* One section at *at; moves it behind. */
static int parse_section(struct statefile *sf, const uint8_t **at, size_t *left, struct err *err)
{
	struct statefile_section section = {0};
	size_t name_len, size;

	if (*left < SECTION_HEAD)
		return blob_damaged(err, "truncated");
	name_len = le_get16(*at);
	section.version = le_get16(*at + 2);
	section.len = le_get32(*at + 4);
	if (name_len == 0 || name_len > STATEFILE_NAME_MAX)
		return blob_damaged(err, "a section's name is too long or empty");
	size = SECTION_HEAD + name_len + (size_t)section.len;
	if (size > *left)
		return blob_damaged(err, "a section is longer than the file");
	memcpy(section.name, *at + SECTION_HEAD, name_len);
	for (size_t i = 0; i < name_len; i++) {
		if (!isgraph((unsigned char)section.name[i]))
			return blob_damaged(err, "a section's name is not printable");
	}
	if (find_section(sf, section.name) != NULL)
		return err_set(err, ERR_INTEGRITY, "state blob: section %s twice", section.name);
	section.data = *at + SECTION_HEAD + name_len;
	sf->sections[sf->nsections++] = section;
	*at += size;
	*left -= size;
	return 0;
}

int statefile_parse(struct statefile *sf, const uint8_t *data, size_t len, struct err *err)
{
	const uint8_t *at;
	size_t left;
	uint32_t count;
	int ret = 0;

	*sf = (struct statefile){0};
	if (len < FILE_HEAD || memcmp(data, MAGIC, MAGIC_SIZE) != 0)
		return blob_damaged(err, "not a state blob");
	at = data + FILE_HEAD;
	left = len - FILE_HEAD;
	if (le_get32(data + MAGIC_SIZE) != FORMAT)
		return err_set(err, ERR_INCOMPATIBLE, "state blob: format %u, this torpor reads %u",
			       le_get32(data + MAGIC_SIZE), FORMAT);
	count = le_get32(data + MAGIC_SIZE + 4);
	if (count > STATEFILE_MAX_SECTIONS || count > left / SECTION_HEAD)
		return blob_damaged(err, "more sections than it can hold");
	sf->sections = calloc(count + 1u, sizeof(sf->sections[0]));
	if (sf->sections == NULL)
		return err_sys(err, ENOMEM, "read the state");
	for (uint32_t i = 0; ret == 0 && i < count; i++)
		ret = parse_section(sf, &at, &left, err);
	if (ret == 0 && left != 0)
		ret = blob_damaged(err, "bytes behind the last section");
	if (ret < 0)
		statefile_free(sf);
	return ret;
}

void statefile_free(struct statefile *sf)
{
	free(sf->sections);
	*sf = (struct statefile){0};
}

int statefile_load(struct statefile *sf, const char *name, const struct state_table *table,
		   void *obj, struct err *err)
{
	struct statefile_section *section = (struct statefile_section *)find_section(sf, name);
	int ret;

	if (section == NULL)
		return err_set(err, ERR_INTEGRITY, "state blob: no section %s", name);
	section->used = true;
	ret = state_decode(table, section->version, section->data, section->len, obj, err);
	return ret < 0 ? err_context(err, ret, "section %s", name) : 0;
}

int statefile_find(struct statefile *sf, const char *name, uint16_t version, const uint8_t **data,
		   size_t *len, struct err *err)
{
	struct statefile_section *section = (struct statefile_section *)find_section(sf, name);

	if (section == NULL)
		return err_set(err, ERR_INTEGRITY, "state blob: no section %s", name);
	section->used = true;
	if (section->version == 0)
		return err_set(err, ERR_INTEGRITY, "section %s: version 0", name);
	if (section->version > version)
		return err_set(err, ERR_INCOMPATIBLE, "section %s: version %u is newer than %u",
			       name, section->version, version);
	*data = section->data;
	*len = section->len;
	return 0;
}

int statefile_all_used(const struct statefile *sf, struct err *err)
{
	for (uint32_t i = 0; i < sf->nsections; i++) {
		if (!sf->sections[i].used)
			return err_set(
				err, ERR_INCOMPATIBLE,
				"state blob: section %s belongs to no device of this machine",
				sf->sections[i].name);
	}
	return 0;
}
