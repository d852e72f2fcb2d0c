/* See base.h. */
#include "guest/helper/base.h"

size_t text_len(const char *text)
{
	size_t n = 0;

	while (text[n] != '\0')
		n++;
	return n;
}

bool text_equal(const char *a, const char *b)
{
	while (*a != '\0' && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

void text_copy(char *to, size_t size, const char *from)
{
	size_t n = 0;

	for (; n + 1 < size && from[n] != '\0'; n++)
		to[n] = from[n];
	to[n] = '\0';
}

bool text_number(const char *text, uint32_t *number)
{
	uint64_t n = 0;

	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return false;
		n = n * 10 + (uint64_t)(*text - '0');
		if (n > UINT32_MAX - 1)
			return false;
	}
	*number = (uint32_t)n;
	return true;
}

char *text_field(char **rest, char separator)
{
	char *field = *rest, *at = field;

	if (field == NULL)
		return NULL;
	while (*at != '\0' && *at != separator)
		at++;
	*rest = *at == '\0' ? NULL : at + 1;
	*at = '\0';
	return field;
}
