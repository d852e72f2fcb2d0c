/* See printable.h. */
#include "base/printable.h"

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
