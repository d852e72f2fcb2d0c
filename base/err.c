/* The error object; see err.h. No state, callable from any thread. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/printable.h"

int err_set(struct err *err, enum err_kind kind, const char *fmt, ...)
{
	va_list ap;

	if (err != NULL) {
		err->kind = kind;
		va_start(ap, fmt);
		vsnprintf(err->text, sizeof(err->text), fmt, ap);
		va_end(ap);
		printable_utf8(err->text);
	}
	return kind == ERR_NOT_FOUND ? -ENOENT : -EINVAL;
}

int err_sys(struct err *err, int errnum, const char *fmt, ...)
{
	va_list ap;
	size_t used;

	if (err != NULL) {
		err->kind = errnum == ENOENT ? ERR_NOT_FOUND : ERR_FAILED;
		va_start(ap, fmt);
		vsnprintf(err->text, sizeof(err->text), fmt, ap);
		va_end(ap);
		used = strlen(err->text);
		snprintf(err->text + used, sizeof(err->text) - used, ": %s", strerror(errnum));
		printable_utf8(err->text);
	}
	return -errnum;
}

int err_context(struct err *err, int ret, const char *fmt, ...)
{
	char text[2 * sizeof(err->text)];
	va_list ap;
	size_t used;

	if (err == NULL)
		return ret;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(err->text), fmt, ap);
	va_end(ap);
	used = strlen(text);
	snprintf(text + used, sizeof(text) - used, ": %s", err->text);
	text[sizeof(err->text) - 1] = '\0';
	printable_utf8(text);
	memcpy(err->text, text, sizeof(err->text));
	return ret;
}

int err_copy(struct err *err, int ret, const struct err *from)
{
	if (err != NULL)
		*err = *from;
	return ret;
}

void err_clear(struct err *err)
{
	if (err != NULL)
		*err = (struct err){0};
}
