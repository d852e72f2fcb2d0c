/* The growing byte buffer; see buf.h. No state of its own, no locks. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

void buf_free(struct buf *b)
{
	free(b->data);
	*b = (struct buf){0};
}

static bool buf_reserve(struct buf *b, size_t more)
{
	size_t need, cap;
	uint8_t *grown;

	if (b->failed || __builtin_add_overflow(b->len, more, &need)) {
		b->failed = true;
		return false;
	}
	if (need <= b->cap && b->data != NULL)
		return true;
	cap = b->cap != 0 ? b->cap : 256;
	while (cap < need)
		cap = cap > SIZE_MAX / 2 ? need : cap * 2;
	grown = realloc(b->data, cap);
	if (grown == NULL) {
		b->failed = true;
		return false;
	}
	b->data = grown;
	b->cap = cap;
	return true;
}

uint8_t *buf_add(struct buf *b, const void *p, size_t len)
{
	uint8_t *at;

	if (!buf_reserve(b, len))
		return NULL;
	at = b->data + b->len;
	if (p != NULL)
		memcpy(at, p, len);
	else
		memset(at, 0, len);
	b->len += len;
	return at;
}

void buf_add_u8(struct buf *b, uint8_t v)
{
	buf_add(b, &v, 1);
}

void buf_add_le16(struct buf *b, uint16_t v)
{
	uint8_t raw[2];

	le_put16(raw, v);
	buf_add(b, raw, sizeof(raw));
}

void buf_add_le32(struct buf *b, uint32_t v)
{
	uint8_t raw[4];

	le_put32(raw, v);
	buf_add(b, raw, sizeof(raw));
}

void buf_add_le64(struct buf *b, uint64_t v)
{
	uint8_t raw[8];

	le_put64(raw, v);
	buf_add(b, raw, sizeof(raw));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	int len;

	va_start(ap, fmt);
	va_copy(again, ap);
	len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (len < 0 || !buf_reserve(b, (size_t)len + 1)) {
		b->failed = true;
	} else {
		vsnprintf((char *)b->data + b->len, (size_t)len + 1, fmt, again);
		b->len += (size_t)len;
	}
	va_end(again);
}
