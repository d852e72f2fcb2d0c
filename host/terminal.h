/*
 * The user's terminal in raw mode while a guest has the keyboard. A process has one terminal, so
 * this is global. The caller of terminal_raw() calls terminal_restore(); so do a crash and the
 * signals that end a program. Nothing fails.
 */
#ifndef TORPOR_HOST_TERMINAL_H
#define TORPOR_HOST_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>

/* Make standard input raw when it is a terminal; returns whether it is one. */
bool terminal_raw(void);
/* The same, and what is written to it is not changed either: another terminal has done that. */
bool terminal_raw_both_ways(void);
/* Its size; false when standard input is none. */
bool terminal_size(uint16_t *rows, uint16_t *columns);
/* The same of standard output. */
bool terminal_output_size(uint16_t *rows, uint16_t *columns);
/* The same of standard error. */
bool terminal_error_size(uint16_t *rows, uint16_t *columns);
/* The same for a program that runs on in the background (`run … &`): there it returns false, leaves
 * the terminal as it is, and nothing about the terminal stops the process. Reading gives EIO. */
bool terminal_raw_or_background(void);
void terminal_restore(void);

#endif
