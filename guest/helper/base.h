/* Texts, for programs without a C library. */
#ifndef TORPOR_GUEST_HELPER_BASE_H
#define TORPOR_GUEST_HELPER_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

size_t text_len(const char *text);
bool text_equal(const char *a, const char *b);
/* What does not fit is cut off. */
void text_copy(char *to, size_t size, const char *from);
/* The whole text as a number below 2^32 - 1. */
bool text_number(const char *text, uint32_t *number);
/* Cut off and return what is before the next `separator`; NULL at the end. */
char *text_field(char **rest, char separator);

#endif
