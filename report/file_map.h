/*
 * Where the bytes of a file are, and what its images are made of: `torpor inspect --map` and --html.
 *
 *     file_map_make → file_map_text | file_map_html → file_map_free
 *
 * The whole of a file, and each image, is a strip of at most FILE_MAP_CELLS cells of one size, each of
 * which shows one kind of what is in it: what is rare hides what is common, so that it is seen. Text of
 * the file is untrusted: a page has it as text, has no scripts, and loads nothing. One thread.
 */
#ifndef TORPOR_REPORT_FILE_MAP_H
#define TORPOR_REPORT_FILE_MAP_H

#include "base/buf.h"
#include "format/archive.h"

#define FILE_MAP_CELLS 2048u

/* What bytes are for. */
enum map_kind {
	MAP_NOTHING, /* padding, headers of the tar */
	MAP_META,    /* manifest, config, maps, hash lists, signature */
	MAP_KERNEL,  /* and initrd */
	MAP_STATE,
	MAP_HOT,
	MAP_MEMORY,
	MAP_DISK,
	/* of an image only */
	MAP_ZERO,
	MAP_PARENT, /* as in the parent, or in the base of the disk */
	MAP_KINDS,
};

struct map_strip {
	char role[OCI_ROLE_SIZE]; /* of an image; "" for the file */
	uint64_t size;
	uint64_t bytes[MAP_KINDS]; /* how much of it is what */
	uint32_t cells;		   /* in use */
	uint8_t cell[FILE_MAP_CELLS];
};

struct file_map {
	const struct archive *archive; /* borrowed */
	struct map_strip *strip;       /* owned: the file, then the images */
	size_t nstrips;
};

/* Returns 0, -ENOMEM, or what blob_read() gives of a list of hot frames; then nothing is owned. */
int file_map_make(struct file_map *map, const struct archive *a, struct err *err);
void file_map_free(struct file_map *map);

/* Lines of at most `columns` (80 or what is wider), without escapes. Without memory buf_failed() says
 * so. */
void file_map_text(const struct file_map *map, unsigned columns, struct buf *out);
/* A page of HTML with the drawings in it, and nothing from elsewhere. */
void file_map_html(const struct file_map *map, struct buf *out);

#endif
