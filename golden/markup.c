/* See markup.h. */
#include "golden/markup.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

#define REPLACED "\xef\xbf\xbd" /* U+FFFD */

/* What stands for the character; NULL: itself. `small` is room for a picture. */
static const char *replacement(uint32_t point, char small[4])
{
	static const char named[] = "&<>\"'";
	static const char *const entity[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
	const char *at = point != 0 && point < 0x80 ? strchr(named, (char)point) : NULL;

	if (at != NULL)
		return entity[at - named];
	if (point == '\n' || point == '\t')
		return NULL;
	if (point < 0x20 || point == 0x7f) {
		/* U+2400 to U+2421. */
		snprintf(small, 4, "\xe2\x90%c", (int)(0x80 + (point == 0x7f ? 0x21 : point)));
		return small;
	}
	return utf8_controls(point) || (point & 0xfffe) == 0xfffe ? REPLACED : NULL;
}

void markup_add(struct buf *out, const char *text, size_t len)
{
	size_t copied = 0, at = 0;

	while (at < len) {
		char small[4];
		uint32_t point;
		unsigned n = utf8_decode(text + at, len - at, &point);
		const char *other = n == 0 ? REPLACED : replacement(point, small);

		if (other != NULL) {
			buf_add(out, text + copied, at - copied);
			buf_add(out, other, strlen(other));
			copied = at + (n > 0 ? n : 1);
		}
		at += n > 0 ? n : 1;
	}
	buf_add(out, text + copied, len - copied);
}

void markup_add_value(struct buf *out, const char *text)
{
	while (*text != '\0') {
		size_t len = strcspn(text, "\n\t");

		markup_add(out, text, len);
		text += len;
		if (*text != '\0')
			buf_printf(out, "&#%d;", *text++);
	}
}

void markup_add_utf8(struct buf *out, const char *text, size_t len)
{
	size_t at = 0;

	while (at < len) {
		uint32_t point;
		unsigned n = utf8_decode(text + at, len - at, &point);

		if (n > 0)
			buf_add(out, text + at, n);
		else
			buf_add(out, REPLACED, strlen(REPLACED));
		at += n > 0 ? n : 1;
	}
}
