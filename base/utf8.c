/* See utf8.h. */
#include "base/utf8.h"

unsigned utf8_decode(const char *text, size_t len, uint32_t *point)
{
	static const struct {
		uint32_t least;
		unsigned char mask, head;
	} forms[] = {{0, 0x80, 0}, {0x80, 0xe0, 0xc0}, {0x800, 0xf0, 0xe0}, {0x10000, 0xf8, 0xf0}};
	const unsigned char *byte = (const unsigned char *)text;

	for (unsigned form = 1; form <= 4 && form <= len; form++) {
		unsigned char mask = forms[form - 1].mask;
		uint32_t c = byte[0] & (unsigned char)~mask;
		unsigned n = 1;

		if ((byte[0] & mask) != forms[form - 1].head)
			continue;
		for (; n < form && (byte[n] & 0xc0) == 0x80; n++)
			c = c << 6 | (byte[n] & 0x3f);
		if (n < form || c < forms[form - 1].least || c > 0x10ffff ||
		    (c >= 0xd800 && c <= 0xdfff))
			return 0;
		*point = c;
		return form;
	}
	return 0;
}

bool utf8_controls(uint32_t point)
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
