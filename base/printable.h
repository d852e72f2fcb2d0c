/* What a guest says, made fit for a log and a terminal. */
#ifndef TORPOR_BASE_PRINTABLE_H
#define TORPOR_BASE_PRINTABLE_H

/* In place, one line of ASCII: space at the end goes, a newline becomes a semicolon, a tab
 * a space, anything else that
 * is not a printable character '?'. */
void printable(char *text);

/* In place: each byte that is not part of a UTF-8 character becomes '?', as JSON wants it. */
void printable_utf8(char *text);

#endif
