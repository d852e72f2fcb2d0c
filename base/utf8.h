/* UTF-8, read strictly. Pure; any thread. */
#ifndef TORPOR_BASE_UTF8_H
#define TORPOR_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The number of bytes of the character that `text` begins with, and its code point; 0: there is
 * none. No overlong forms, no surrogates. */
unsigned utf8_decode(const char *text, size_t len, uint32_t *point);

/* Whether it moves the cursor, begins a line, or shows text in another order than it is in. */
bool utf8_controls(uint32_t point);

#endif
