/* See json_out.h. */
#include "cli/json_out.h"

#include <string.h>

#include "base/cleanup.h"

/* Behind "[" and a newline: where the "]" is, when there are nothing but numbers before it; or NULL. In strings there
 * is no newline. */
static const char *end_of_numbers(const char *text)
{
	const char *end = text + strspn(text, " \n,+-.0123456789eE");

	return *end == ']' ? end : NULL;
}

/* A list of numbers stays on its line. */
static void print_numbers(const char *text, const char *end, FILE *out)
{
	for (; text < end; text += strcspn(text, " \n,]")) {
		text += strspn(text, " \n");
		if (*text == ',')
			fputs(", ", out), text++, text += strspn(text, " \n");
		fwrite(text, 1, strcspn(text, " \n,]"), out);
	}
}

void json_out_to(FILE *out, json_t *value)
{
	cleanup_free char *text =
		json_dumps(value, JSON_ENCODE_ANY | JSON_INDENT(2) | JSON_REAL_PRECISION(6) |
					  json_out_escapes(out));
	const char *at = text, *list;

	json_decref(value);
	while (at != NULL && (list = strstr(at, "[\n")) != NULL) {
		const char *end = end_of_numbers(list + 2);

		fwrite(at, 1, (size_t)(list + 1 - at), out);
		at = list + 1;
		if (end != NULL) {
			print_numbers(at, end, out);
			at = end;
		}
	}
	if (at != NULL)
		fputs(at, out);
	fputc('\n', out);
}

void json_out(json_t *value)
{
	json_out_to(stdout, value);
}
