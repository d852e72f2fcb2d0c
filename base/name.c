/* See name.h. */
#include "base/name.h"

#include <string.h>

#define LETTERS_AND_DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

bool name_is_valid(const char *name)
{
	size_t len = strlen(name);

	return strspn(name, LETTERS_AND_DIGITS) > 0 && len < NAME_SIZE &&
	       strspn(name, LETTERS_AND_DIGITS "_.-") == len;
}
