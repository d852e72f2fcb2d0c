/* See printable.h. */
#include "base/printable.h"

#include <string.h>

#include "base/utf8.h"

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

void printable_utf8(char *text)
{
	const char *end = text + strlen(text);

	while (text < end) {
		uint32_t point;
		unsigned len = utf8_decode(text, (size_t)(end - text), &point);

		if (len == 0) {
			*text++ = '?';
			continue;
		}
		if (utf8_controls(point))
			memset(text, '?', len);
		text += len;
	}
}
