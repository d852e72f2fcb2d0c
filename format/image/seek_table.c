/* See seek_table.h. Pure but for blob_read(). */
#include "format/image/seek_table.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "format/image/image.h"

#define SKIPPABLE_MAGIC 0x184D2A5Eu
#define SEEKABLE_MAGIC	0x8F92EAB1u
#define HEADER_SIZE	8u
#define FOOTER_SIZE	9u
#define ENTRY_SIZE	8u
#define CHECKSUM_SIZE	4u
#define HAS_CHECKSUMS	0x80u
#define RESERVED_BITS	0x7cu

void seek_table_encode(const uint32_t *sizes, uint32_t frames, struct buf *out)
{
	buf_add_le32(out, SKIPPABLE_MAGIC);
	buf_add_le32(out, frames * ENTRY_SIZE + FOOTER_SIZE);
	for (uint32_t i = 0; i < frames; i++) {
		buf_add_le32(out, sizes[i]);
		buf_add_le32(out, FRAME_SIZE);
	}
	buf_add_le32(out, frames);
	buf_add_u8(out, 0);
	buf_add_le32(out, SEEKABLE_MAGIC);
}

uint64_t seek_table_most(uint32_t frames)
{
	return HEADER_SIZE + (uint64_t)frames * (ENTRY_SIZE + CHECKSUM_SIZE) + FOOTER_SIZE;
}

static int table_damaged(struct err *err)
{
	return err_set(err, ERR_INTEGRITY, "its seek table is damaged");
}

/* The last nine bytes. */
static int read_footer(const struct blob *part, uint32_t *frames, uint32_t *entry, struct err *err)
{
	uint8_t footer[FOOTER_SIZE];
	int ret;

	if (part->len < HEADER_SIZE + FOOTER_SIZE)
		return table_damaged(err);
	ret = blob_read(part, part->len - FOOTER_SIZE, footer, FOOTER_SIZE, err);
	if (ret < 0)
		return ret;
	*frames = le_get32(footer);
	*entry = ENTRY_SIZE + (footer[4] & HAS_CHECKSUMS ? CHECKSUM_SIZE : 0);
	if (le_get32(footer + 5) != SEEKABLE_MAGIC || (footer[4] & RESERVED_BITS) != 0 ||
	    *frames == 0 || *frames > SEEK_TABLE_MAX_FRAMES ||
	    part->len < HEADER_SIZE + (uint64_t)*frames * *entry + FOOTER_SIZE)
		return table_damaged(err);
	return 0;
}

int seek_table_frames(const struct blob *part, uint32_t *frames, struct err *err)
{
	uint32_t entry;

	return read_footer(part, frames, &entry, err);
}

static int decode_offsets(const uint8_t *at, uint32_t frames, uint32_t entry, uint64_t data_end,
			  uint32_t *offsets, struct err *err)
{
	uint64_t offset = 0;

	if (le_get32(at) != SKIPPABLE_MAGIC || le_get32(at + 4) != frames * entry + FOOTER_SIZE)
		return table_damaged(err);
	at += HEADER_SIZE;
	for (uint32_t i = 0; i < frames; i++, at += entry) {
		offsets[i] = (uint32_t)offset;
		offset += le_get32(at);
		if (le_get32(at) == 0 || le_get32(at + 4) != FRAME_SIZE || offset > data_end ||
		    offset > UINT32_MAX)
			return table_damaged(err);
	}
	offsets[frames] = (uint32_t)offset;
	return offset == data_end ? 0 : table_damaged(err);
}

int seek_table_read(const struct blob *part, uint32_t frames, uint32_t *offsets, struct err *err)
{
	cleanup_free uint8_t *table = NULL;
	uint32_t now, entry;
	uint64_t len;
	int ret = read_footer(part, &now, &entry, err);

	if (ret < 0)
		return ret;
	if (now != frames)
		return table_damaged(err);
	len = HEADER_SIZE + (uint64_t)frames * entry;
	table = malloc(len);
	if (table == NULL)
		return err_sys(err, ENOMEM, "read a seek table");
	ret = blob_read(part, part->len - FOOTER_SIZE - len, table, len, err);
	if (ret < 0)
		return ret;
	return decode_offsets(table, frames, entry, part->len - FOOTER_SIZE - len, offsets, err);
}
