/* See base64.h. */
#include "format/crypto/base64.h"

#include <stdint.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const void *data, size_t len, char *text)
{
	const uint8_t *in = data;

	for (size_t at = 0; at < len; at += 3) {
		size_t left = len - at;
		uint32_t group = (uint32_t)in[at] << 16;

		group |= left > 1 ? (uint32_t)in[at + 1] << 8 : 0;
		group |= left > 2 ? in[at + 2] : 0;
		*text++ = alphabet[group >> 18];
		*text++ = alphabet[group >> 12 & 63];
		*text++ = left > 1 ? alphabet[group >> 6 & 63] : '=';
		*text++ = left > 2 ? alphabet[group & 63] : '=';
	}
	*text = '\0';
}

static bool base64_digit(char c, uint32_t *value)
{
	const char *found = c != '\0' ? strchr(alphabet, c) : NULL;

	*value = found != NULL ? (uint32_t)(found - alphabet) : 0;
	return found != NULL;
}

/* Four characters, of which `bytes` + 1 count. */
static bool decode_group(const char *text, uint8_t *out, size_t bytes)
{
	uint32_t group = 0, value;

	for (size_t i = 0; i < 4; i++) {
		bool good = i <= bytes ? base64_digit(text[i], &value) : text[i] == '=';

		if (!good)
			return false;
		group = group << 6 | (i <= bytes ? value : 0);
	}
	for (size_t i = 0; i < bytes; i++)
		out[i] = (uint8_t)(group >> (16 - 8 * i));
	return (group & (0xffffffu >> 8 * bytes)) == 0;
}

size_t base64_decoded_len(const char *text, size_t text_len)
{
	size_t len = text_len / 4 * 3;

	for (size_t i = 1; i <= 2 && i < text_len && text[text_len - i] == '='; i++)
		len--;
	return len;
}

bool base64_decode(const char *text, size_t text_len, void *data, size_t len)
{
	uint8_t *out = data;

	if (text_len != BASE64_LEN(len))
		return false;
	for (size_t at = 0; at < len; at += 3, text += 4) {
		size_t left = len - at;

		if (!decode_group(text, out + at, left < 3 ? left : 3))
			return false;
	}
	return true;
}
