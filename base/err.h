/*
 * The error object.
 *
 * Every function that can fail for a reason a user should read takes a `struct err *` as its last
 * parameter and returns 0 or a negative errno. The function that fails describes it once; callers
 * on the way up add where it happened with err_context(). Only cli/ prints one, and maps its kind
 * to an exit code. The object owns no memory: it lives on the caller's stack.
 *
 * The text is fit for a terminal and for JSON, also when it quotes untrusted text: see
 * printable_utf8().
 *
 * `err` may be NULL wherever it is a parameter here: the caller does not want the text.
 */
#ifndef TORPOR_BASE_ERR_H
#define TORPOR_BASE_ERR_H

enum err_kind {
	ERR_NONE = 0,
	ERR_FAILED,	  /* anything of ours without a kind of its own: exit 125 */
	ERR_USAGE,	  /* the command line is off: exit 125 */
	ERR_INCOMPATIBLE, /* this host cannot run that machine: exit 120 */
	ERR_INTEGRITY,	  /* damaged, truncated, foreign or unsigned file: exit 121 */
	ERR_NOT_FOUND,	  /* no such machine, file or blob: exit 122 */
	ERR_MISMATCH,	  /* a golden comparison differs: exit 123 */
};

struct err {
	enum err_kind kind;
	char text[1024]; /* one line of UTF-8, no newline; "" when kind is ERR_NONE */
};

/* Set kind and text. Returns -EINVAL, or -ENOENT for ERR_NOT_FOUND, so `return err_set(…)`
 * works. */
int err_set(struct err *err, enum err_kind kind, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Set ERR_FAILED (ERR_NOT_FOUND for ENOENT) with ": strerror(errnum)" behind it. Returns
 * -errnum. */
int err_sys(struct err *err, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Put "fmt: " before the text that is already there. Returns `ret`, for `return err_context(…)`. */
int err_context(struct err *err, int ret, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Set kind and text to those of `from`. Returns `ret`, for `return err_copy(…)`. */
int err_copy(struct err *err, int ret, const struct err *from);

/* Back to ERR_NONE and no text. */
void err_clear(struct err *err);

#endif
