/* Base64 (RFC 4648 §4) of values whose size is known. Pure; any thread. Only decoding can fail,
 * which is false. */
#ifndef TORPOR_FORMAT_CRYPTO_BASE64_H
#define TORPOR_FORMAT_CRYPTO_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/* Characters for `len` bytes, without a NUL. */
#define BASE64_LEN(len) (((len) + 2) / 3 * 4)

/* Writes BASE64_LEN(len) characters and a NUL. */
void base64_encode(const void *data, size_t len, char *text);

/* How many bytes so many characters stand for, by their padding. */
size_t base64_decoded_len(const char *text, size_t text_len);

/* Decodes exactly `len` bytes from exactly BASE64_LEN(len) characters. Only what base64_encode()
 * gives is accepted: no white space, no bits behind the end, all of the padding. */
bool base64_decode(const char *text, size_t text_len, void *data, size_t len);

#endif
