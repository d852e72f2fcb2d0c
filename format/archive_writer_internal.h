/* Private to archive_writer.c and archive_layout.c: a file in the making. */
#ifndef TORPOR_FORMAT_ARCHIVE_WRITER_INTERNAL_H
#define TORPOR_FORMAT_ARCHIVE_WRITER_INTERNAL_H

#include <stdbool.h>

#include "format/archive_writer.h"
#include "format/oci.h"
#include "format/tempfile.h"

/* Where bulk payloads begin. Waking reads the metadata in front of them in one go; what does not
 * fit there is put behind them. */
#define WRITER_FRONT KIB(256)

struct writer_blob {
	struct oci_descriptor d;
	bool bulk;
	uint64_t offset; /* bulk: of the payload, already written */
	struct buf data; /* otherwise: the payload */
};

struct archive_writer {
	struct tempfile file;
	struct writer_blob *blobs; /* owned; the layers, in the order they were given */
	size_t nblobs;
	uint64_t end; /* of the bulk payloads so far */
	bool packed;  /* images from here on, at `level` */
	int level;
	bool failed; /* a step failed: nothing to publish */
};

/* archive_layout.c: put metadata, headers, fillers and links around the bulk payloads. The three
 * are payloads of fixed names or, with a digest, blobs. */
struct writer_front {
	struct writer_blob config;
	struct writer_blob manifest;
	struct buf index;
	struct buf layout;
};

int archive_layout_write(struct archive_writer *w, const struct writer_front *front,
			 struct err *err);

#endif
