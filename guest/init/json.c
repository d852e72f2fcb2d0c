/* As much of JSON (RFC 8259) as the host's questions take, and Base64. See init.h. */
#include "guest/init/init.h"

static const char *skip_space(const char *at)
{
	while (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n')
		at++;
	return at;
}

/* Behind the string. */
static const char *skip_string(const char *at)
{
	for (at++; *at != '\0' && *at != '"'; at++) {
		if (*at == '\\' && at[1] != '\0')
			at++;
	}
	return *at == '"' ? at + 1 : at;
}

/* Behind the value: strings and brackets are all that matter. */
static const char *skip_value(const char *at)
{
	unsigned depth = 0;

	for (; *at != '\0'; at++) {
		if (*at == '"') {
			at = skip_string(at) - 1;
		} else if (*at == '{' || *at == '[') {
			depth++;
		} else if (*at == '}' || *at == ']') {
			if (depth == 0)
				return at;
			depth--;
		} else if (*at == ',' && depth == 0) {
			return at;
		}
	}
	return at;
}

const char *json_elements(const char *array)
{
	return array != NULL && *array == '[' ? array + 1 : NULL;
}

const char *json_next(const char **at)
{
	const char *value = *at;

	if (value == NULL)
		return NULL;
	value = skip_space(value);
	if (*value == ',')
		value = skip_space(value + 1);
	if (*value == ']' || *value == '}' || *value == '\0')
		return NULL;
	*at = skip_value(value);
	return value;
}

const char *json_member(const char *at, const char *name)
{
	char found[64];

	if (at == NULL || *at != '{')
		return NULL;
	at = skip_space(at + 1);
	while (*at == '"') {
		const char *value = skip_space(skip_string(at));

		if (*value != ':')
			return NULL;
		value = skip_space(value + 1);
		if (json_text(at, found, sizeof(found)) >= 0 && text_equal(found, name))
			return value;
		at = skip_value(value);
		if (*at != ',')
			return NULL;
		at = skip_space(at + 1);
	}
	return NULL;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Of \uXXXX those below 0x80 are taken: the host sends others as they are. */
static char escaped(const char **at)
{
	int code = 0;

	switch (**at) {
	case 'n':
		return '\n';
	case 't':
		return '\t';
	case 'r':
		return '\r';
	case 'b':
		return '\b';
	case 'f':
		return '\f';
	case 'u':
		for (int i = 1; i <= 4; i++) {
			int digit = hex_digit((*at)[i]);

			if (digit < 0)
				return '?';
			code = code << 4 | digit;
		}
		*at += 4;
		return code < 0x80 ? (char)code : '?';
	default:
		return **at;
	}
}

long json_text(const char *at, char *text, size_t size)
{
	size_t len = 0;

	if (at == NULL || *at != '"')
		return -1;
	for (at++; *at != '"'; at++) {
		char c = *at;

		if (c == '\0' || len + 1 >= size)
			return -1;
		if (c == '\\') {
			at++;
			if (*at == '\0')
				return -1;
			c = escaped(&at);
		}
		text[len++] = c;
	}
	text[len] = '\0';
	return (long)len;
}

bool json_number(const char *at, int64_t *number)
{
	bool negative = at != NULL && *at == '-';
	int64_t n = 0;

	if (at == NULL)
		return false;
	at += negative;
	if (*at < '0' || *at > '9')
		return false;
	for (; *at >= '0' && *at <= '9'; at++) {
		if (n > (INT64_MAX - 9) / 10)
			return false;
		n = n * 10 + (*at - '0');
	}
	*number = negative ? -n : n;
	return true;
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

size_t base64_from(const char *text, size_t len, uint8_t *data)
{
	uint32_t bits = 0;
	unsigned held = 0;
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int digit = base64_digit(text[i]);

		if (digit < 0)
			continue;
		bits = bits << 6 | (uint32_t)digit;
		held += 6;
		if (held >= 8) {
			held -= 8;
			data[n++] = (uint8_t)(bits >> held);
		}
	}
	return n;
}

size_t base64_to(const uint8_t *data, size_t len, char *text)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i += 3) {
		uint32_t bits = (uint32_t)data[i] << 16;

		bits |= i + 1 < len ? (uint32_t)data[i + 1] << 8 : 0;
		bits |= i + 2 < len ? data[i + 2] : 0;
		text[n++] = alphabet[bits >> 18];
		text[n++] = alphabet[bits >> 12 & 63];
		text[n++] = i + 1 < len ? alphabet[bits >> 6 & 63] : '=';
		text[n++] = i + 2 < len ? alphabet[bits & 63] : '=';
	}
	text[n] = '\0';
	return n;
}
