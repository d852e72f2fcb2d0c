/*
 * Untrusted text (of a guest, a file, a peer, or a file's name), made fit for a terminal, a log and
 * JSON. The texts of errors (err.h) and the lines of logs (log.h) go through printable_utf8();
 * code that prints other untrusted text calls one of these first. Cannot fail. Pure; any thread.
 */
#ifndef TORPOR_BASE_PRINTABLE_H
#define TORPOR_BASE_PRINTABLE_H

/* In place, one line of ASCII: space at the end goes, a newline becomes a semicolon, a tab a space,
 * anything else that is not a printable character '?'. */
void printable(char *text);

/* In place, one line of UTF-8: each byte that is not part of a UTF-8 character, and each byte of
 * one that controls a terminal, becomes '?'. */
void printable_utf8(char *text);

#endif
