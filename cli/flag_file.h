/* @FILE on a command line: the words in it, in its place. One thread. */
#ifndef TORPOR_CLI_FLAG_FILE_H
#define TORPOR_CLI_FLAG_FILE_H

#include <stddef.h>

#include "cli/options.h"

#define FLAG_FILE_MAX 65536u /* bytes */

/* Words, as many as the process lives. */
struct flag_words {
	char **word; /* ends with NULL */
	size_t n;
};

/* Append the words of `text`. They are split at spaces and ends of lines; what is between quotes, '
 * or ", is one word with what touches it, and so is a space or a quote behind a backslash; # where a
 * word may begin is a comment until the end of the line. Nothing is expanded. `name` is for
 * messages. Returns 0; -EINVAL with ERR_USAGE when a quote is not closed or there is a NUL;
 * -ENOMEM. */
int flag_words_add(struct flag_words *words, const char *name, const char *text, size_t len,
		   struct err *err);

/* Replace each @FILE before `--` by the words of that file, in which @FILE means nothing. Before the
 * first options_next(). What the options are stays allocated. Returns 0, what flag_words_add()
 * gives, -EFBIG, or the errno of open(2) or read(2). */
int flag_file_expand(struct options *opts, struct err *err);

#endif
