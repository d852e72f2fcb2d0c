/*
 * The user's terminal in raw mode while a guest has the keyboard. There is one terminal a process,
 * so this is global. Who made it raw puts it back; a crash does so by itself.
 */
#ifndef TORPOR_HOST_TERMINAL_H
#define TORPOR_HOST_TERMINAL_H

#include <stdbool.h>

/* Make standard input raw when it is a terminal; returns whether it is one. */
bool terminal_raw(void);
void terminal_restore(void);

#endif
