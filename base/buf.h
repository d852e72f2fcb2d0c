/*
 * A growing byte buffer for encoders. The only error is that memory ran out. It is sticky: the
 * buffer then ignores further data and buf_failed() is true, so that an encoder checks once, at its
 * end. A buffer begins as {0}. One thread at a time.
 */
#ifndef TORPOR_BASE_BUF_H
#define TORPOR_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *data; /* owned; NULL while empty */
	size_t len;
	size_t cap;
	bool failed;
};

#define cleanup_buf __attribute__((cleanup(buf_free)))

/* Also one that failed; it can be used again. */
void buf_free(struct buf *b);

/* Append `len` bytes and return where they were put, or NULL when out of memory. `p` may be NULL:
 * then the bytes are zero, for the caller to fill at once (the pointer moves with the next append).
 */
uint8_t *buf_add(struct buf *b, const void *p, size_t len);

void buf_add_u8(struct buf *b, uint8_t v);
void buf_add_le16(struct buf *b, uint16_t v);
void buf_add_le32(struct buf *b, uint32_t v);
void buf_add_le64(struct buf *b, uint64_t v);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline bool buf_failed(const struct buf *b)
{
	return b->failed;
}

#endif
