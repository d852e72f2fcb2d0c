/*
 * Redactions: what differs from run to run is replaced by a word in brackets before output is
 * compared. Built in: time, duration, pid, address, uuid. Each is a POSIX extended regular
 * expression; if that has a group, only what the first group matches is replaced.
 *
 *     (zeroes) → redact_add … → redact_line … → redact_free
 *
 * Pure; any thread.
 */
#ifndef TORPOR_GOLDEN_REDACT_H
#define TORPOR_GOLDEN_REDACT_H

#include <regex.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

#define REDACTIONS_MAX 16u

struct redaction {
	char word[32]; /* as it is put in: "[TIME]" */
	bool group;    /* only what the first group matches is replaced */
	regex_t regex;
};

struct redactions {
	struct redaction item[REDACTIONS_MAX];
	unsigned n;
};

/* `NAME` of a built-in one, or `NAME=REGEX`. Returns 0, or -EINVAL with ERR_USAGE: no such name, a
 * bad expression, or too many. */
int redact_add(struct redactions *r, const char *text, struct err *err);
/* Append the line (without newline, and without NUL) to `out` with everything replaced. */
void redact_line(const struct redactions *r, const char *text, size_t len, struct buf *out);
void redact_free(struct redactions *r);

#endif
