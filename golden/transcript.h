/*
 * A test as text: a cram transcript (bitheap.org/cram, "The format").
 *
 *     golden: web.torpor            the head: lines `key: value` before anything else
 *     timeout: 30
 *     publish: 80 53/udp
 *
 *     Prose, which is not looked at.
 *
 *       $ redis-cli get key         a command in the guest; `>` continues it
 *       > | tr a-z A-Z
 *       VALUE                       what it must print, on standard output and error together
 *       [1]                         its exit status, unless that is 0
 *       % curl -s localhost:$TORPOR_PORT_80     a command on the host
 *
 * Lines of a command and of its output begin with two spaces. A line of output may end in ` (re)`
 * (POSIX extended regular expression for all of it), ` (glob)` (* and ?), ` (esc)` (\xNN, \t, \r,
 * \\ stand for bytes) or ` (no-eol)` (the output ends there without a newline).
 *
 *     transcript_parse → … → transcript_free
 *
 * Pure; any thread. Nothing is copied but the whole text and the commands.
 */
#ifndef TORPOR_GOLDEN_TRANSCRIPT_H
#define TORPOR_GOLDEN_TRANSCRIPT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "golden/redact.h"

#define TRANSCRIPT_MAX	     (64u << 20) /* bytes */
#define TRANSCRIPT_TIMEOUT   60u /* seconds for each command, unless the head says otherwise */
#define TRANSCRIPT_PORTS_MAX 16u

/* A line without its newline; bytes of whatever kind. */
struct text_line {
	const char *text;
	size_t len;
};

struct transcript_command {
	bool host;	 /* not in the guest */
	size_t line;	 /* index of its first line */
	char *text;	 /* owned; what the shell gets */
	size_t expected; /* index of the first line of its output */
	size_t nexpected;
};

struct transcript {
	char *text; /* owned */
	struct text_line *line;
	size_t nlines;
	bool no_newline; /* the last line has none */
	struct transcript_command *command;
	size_t ncommands;
	/* The head. */
	char golden[512];		     /* "": it names none */
	unsigned timeout;		     /* seconds */
	char *publish[TRANSCRIPT_PORTS_MAX]; /* ports of the guest; owned */
	unsigned npublish;
	struct redactions redactions;
};

/* Takes `text`, which malloc() gave. Returns 0; -EINVAL with ERR_USAGE (the text names the line)
 * for a head that cannot be read or that there is not, lines that end in CR LF, a conflict marker
 * that is no output, or a text longer than TRANSCRIPT_MAX; -ENOMEM. After an error there is nothing to free. */
int transcript_parse(struct transcript *t, char *text, size_t len, struct err *err);

/* Heads that a transcript does not have, of a text that is one and more. */
struct transcript_head {
	/* A line `KEY: VALUE`, KEY being small letters and `-`. Returns 0, or an error, which ends
	 * the parsing. */
	int (*take)(void *opaque, const char *key, char *value, struct err *err);
	void *opaque;
};
/* The same; errors of head->take(), too, with the line before them. */
int transcript_parse_with(struct transcript *t, char *text, size_t len,
			  const struct transcript_head *head, struct err *err);
/* Whether both have the same text. */
bool transcript_same(const struct transcript *a, const struct transcript *b);
/* Safe on zeroes. */
void transcript_free(struct transcript *t);

#define cleanup_transcript __attribute__((cleanup(transcript_free)))

#endif
