/*
 * The seek table at the end of a packed part: zstd seekable format 0.1.0
 * (contrib/seekable_format/zstd_seekable_compression_format.md of zstd).
 *
 * A skippable frame that lists the compressed and decompressed size of each frame before it. What a
 * packed part adds to that format: every frame decompresses to exactly FRAME_SIZE bytes. The bytes
 * are hostile; frames and table must add up to the part.
 */
#ifndef TORPOR_FORMAT_IMAGE_SEEK_TABLE_H
#define TORPOR_FORMAT_IMAGE_SEEK_TABLE_H

#include "base/blob.h"
#include "base/buf.h"

#define SEEK_TABLE_MAX_FRAMES (1u << 17) /* of one part: 8 GiB of flat data */

/* Append the table of `frames` frames with these compressed sizes. Without memory: buf_failed(). */
void seek_table_encode(const uint32_t *sizes, uint32_t frames, struct buf *out);
/* The bytes of a table of so many frames, with everything that it may have. */
uint64_t seek_table_most(uint32_t frames);

/* The two below return 0 or -errno: ERR_INTEGRITY for a damaged table, what blob_read() gave,
 * -ENOMEM.
 */

/* How many frames the part says it has; at most SEEK_TABLE_MAX_FRAMES. */
int seek_table_frames(const struct blob *part, uint32_t *frames, struct err *err);
/* Where each begins, and behind them where the last one ends: frames + 1 offsets. */
int seek_table_read(const struct blob *part, uint32_t frames, uint32_t *offsets, struct err *err);

#endif
