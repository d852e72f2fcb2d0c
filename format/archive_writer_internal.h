/*
 * Private to the writer: a file in the making.
 *
 *     archive_writer.c   what is in it, whichever way it goes out; archive_writer_images.c the
 *                        images among that
 *     archive_file.c     the way into a file: payloads first, then everything around them
 *     archive_stream.c   the way down a stream: all in order
 *     archive_layout.c   the tar, for both
 *
 * Functions that return int return what archive_writer.h lists. writer_done() returns its argument;
 * what returns no int cannot fail.
 */
#ifndef TORPOR_FORMAT_ARCHIVE_WRITER_INTERNAL_H
#define TORPOR_FORMAT_ARCHIVE_WRITER_INTERNAL_H

#include <stdbool.h>

#include "format/archive_out.h"
#include "format/archive_writer.h"
#include "format/image/image_write.h"
#include "format/oci.h"

/* Where bulk payloads begin in a file. A resume reads the metadata in front of them in one go; what
 * does not fit there is put behind them. */
#define WRITER_FRONT KIB(256)

struct writer_blob {
	struct oci_descriptor d;
	bool bulk;
	uint64_t offset; /* bulk: of the payload, already written */
	struct buf data; /* otherwise: the payload */
};

/* Payloads of fixed names or, with a digest, blobs. */
struct writer_front {
	struct writer_blob config;
	struct writer_blob manifest;
	struct buf index;
	struct buf layout;
};

/* The tar, as far as it is laid out. */
struct layout {
	struct archive_writer *w;
	uint64_t at;	/* of the next header */
	uint64_t front; /* metadata must end here; UINT64_MAX behind the bulk */
	unsigned nfillers;
};

struct writer_output {
	/* Copy a payload and describe it. An empty digest in `d` is not known yet; another must be
	 * that of the payload. */
	int (*copy)(struct archive_writer *w, const struct oci_descriptor *d,
		    const struct blob *blob, struct err *err);
	/* Write the data of a scanned image as parts, flat or packed, and fill its hash list. */
	int (*image)(struct archive_writer *w, const char *role, struct image_plan *plan,
		     struct err *err);
	int (*finish)(struct archive_writer *w, const struct writer_front *front, struct err *err);
};

extern const struct writer_output writer_to_file, writer_to_stream;

struct archive_writer {
	const struct writer_output *output;
	struct archive_out out;
	struct writer_blob *blobs; /* owned; the layers, in the order they were given */
	size_t nblobs;
	struct layout layout;
	uint64_t end; /* file: of the bulk payloads so far */
	bool packed;  /* images from here on, at `level` */
	int level;
	const struct data_key
		*key;		  /* frames that are packed here are encrypted with it; NULL: not */
	struct data_key *own_key; /* owned; the same, and other contents are encrypted too */
	struct encryption encryption; /* of what is encrypted with own_key */
	bool like;		      /* archive_writer_like() */
	bool failed;		      /* a step failed: nothing to publish */
};

/* `ret`, of a step: after an error there is nothing to publish. */
int writer_done(struct archive_writer *w, int ret);
/* A small layer, as it is to be in the file. */
int writer_add_stored(struct archive_writer *w, const char *role, const char *media_type,
		      const void *data, size_t len, struct err *err);
/* A content, which is encrypted if they are. */
int writer_add_content(struct archive_writer *w, const char *role, const char *media_type,
		       const void *data, size_t len, struct err *err);
/* A layer whose payload is written at `offset`, if it is a file. */
int writer_add_bulk(struct archive_writer *w, const struct oci_descriptor *d, uint64_t offset,
		    struct err *err);
/* ROLE.index */
void writer_describe_part(const char *role, bool packed, uint32_t index, uint64_t size,
			  const uint8_t *digest, struct oci_descriptor *d);
uint32_t writer_parts_allowed(const struct archive_writer *w, const char *role);
#define FINE_PART_FRAMES 64u /* 4 MiB of flat data, some 1.5 MiB packed */
/* The base of a disk is cut into small parts where it is packed, so that the next version of an
 * image shares those that did not change; memory changes all over. */
bool writer_parts_are_fine(const char *role);
/* Copy and hash; `out` NULL: hash only. */
int writer_copy_hashed(struct archive_out *out, const struct blob *blob, uint64_t offset,
		       char text[DIGEST_TEXT_SIZE], struct err *err);

/* Put headers, metadata, fillers and links around the bulk payloads that are in place. */
int layout_write_file(struct layout *l, const struct writer_front *front, struct err *err);
/* The newest blob's header; its payload belongs at l->at, which the caller moves behind it, unless
 * it is not wanted: an earlier blob is the same. */
int layout_put_payload(struct layout *l, bool aligned, bool *wanted, struct err *err);
/* All that is not a bulk payload, and the end. */
int layout_end_stream(struct layout *l, const struct writer_front *front, struct err *err);

#endif
