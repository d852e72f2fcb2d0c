/*
 * A table that is printed again and again: on a terminal in the same place, elsewhere below the one before.
 *
 *     (struct screen){0} → screen_begin → screen_line …, unless screen_is_full → screen_end → screen_wait → …
 *
 * Standard output; main thread. Nothing here can fail.
 */
#ifndef TORPOR_CLI_SCREEN_H
#define TORPOR_CLI_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

struct screen {
	bool is_terminal;
	unsigned lines; /* of the last table */
	uint16_t rows, columns;
};

void screen_begin(struct screen *screen);
/* What is wider than the terminal is cut off there. */
void screen_line(struct screen *screen, const char *line);
/* One line more would scroll. */
bool screen_is_full(const struct screen *screen);
/* `left`: lines that were not printed, because it was full. */
void screen_end(struct screen *screen, unsigned left);
/* Returns false when nobody reads any more, before `ms` are over. */
bool screen_wait(unsigned ms);

#endif
