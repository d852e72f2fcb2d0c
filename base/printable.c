/* See printable.h. */
#include "base/printable.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static char printable_char(char c)
{
	if (c == '\n')
		return ';';
	if (c == '\t')
		return ' ';
	return c >= ' ' && c <= '~' ? c : '?';
}

void printable(char *text)
{
	size_t len = strlen(text);

	while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
		text[--len] = '\0';
	for (; *text != '\0'; text++)
		*text = printable_char(*text);
}

/* The bytes of the UTF-8 character at `text`, and its code point; 0: there is none. No overlong
 * forms, no surrogates. */
static unsigned utf8_decode(const unsigned char *text, uint32_t *point)
{
	static const struct {
		uint32_t least;
		unsigned char mask, head;
	} forms[] = {{0, 0x80, 0}, {0x80, 0xe0, 0xc0}, {0x800, 0xf0, 0xe0}, {0x10000, 0xf8, 0xf0}};

	for (unsigned len = 1; len <= 4; len++) {
		unsigned char mask = forms[len - 1].mask;
		uint32_t c = text[0] & (unsigned char)~mask;
		unsigned n = 1;

		if ((text[0] & mask) != forms[len - 1].head)
			continue;
		/* The NUL at the end is no continuation. */
		for (; n < len && (text[n] & 0xc0) == 0x80; n++)
			c = c << 6 | (text[n] & 0x3f);
		if (n < len || c < forms[len - 1].least || c > 0x10ffff ||
		    (c >= 0xd800 && c <= 0xdfff))
			return 0;
		*point = c;
		return len;
	}
	return 0;
}

/* What moves the cursor, begins a line, or shows text in another order than it is in. */
static bool controls_terminal(uint32_t point)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
		{0, 0x1f},	  /* C0 */
		{0x7f, 0x9f},	  /* DEL, C1 */
		{0x61c, 0x61c},	  /* marks, embeddings, overrides and isolates of direction */
		{0x200e, 0x200f}, /* the same */
		{0x2028, 0x202e}, /* separators of lines and paragraphs; the same */
		{0x2066, 0x2069}, /* the same */
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		if (point >= ranges[i].first && point <= ranges[i].last)
			return true;
	}
	return false;
}

void printable_utf8(char *text)
{
	while (*text != '\0') {
		uint32_t point;
		unsigned len = utf8_decode((const unsigned char *)text, &point);

		if (len == 0) {
			*text++ = '?';
			continue;
		}
		if (controls_terminal(point))
			memset(text, '?', len);
		text += len;
	}
}
