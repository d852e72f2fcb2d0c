/* See screen.h. */
#include "cli/screen.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/terminal.h"

void screen_begin(struct screen *screen)
{
	uint16_t rows, columns;

	screen->is_terminal = terminal_output_size(&rows, &columns);
	if (!screen->is_terminal)
		return;
	screen->rows = rows;
	screen->columns = columns;
	if (screen->lines > 0)
		printf("\033[%uA", screen->lines);
	screen->lines = 0;
}

void screen_line(struct screen *screen, const char *line)
{
	size_t len = strlen(line);

	if (screen->is_terminal && screen->columns > 1 && len >= screen->columns) {
		len = screen->columns - 1u;
		/* Not within a letter. */
		while (len > 0 && (line[len] & 0xc0) == 0x80)
			len--;
	}
	printf("%.*s%s\n", (int)len, line, screen->is_terminal ? "\033[K" : "");
	screen->lines++;
}

bool screen_is_full(const struct screen *screen)
{
	return screen->is_terminal && screen->rows > 3 && screen->lines + 2u >= screen->rows;
}

void screen_end(struct screen *screen, unsigned left)
{
	char line[32];

	if (left > 0) {
		snprintf(line, sizeof(line), "and %u more", left);
		screen_line(screen, line);
	}
	if (screen->is_terminal)
		fputs("\033[J", stdout);
}

bool screen_wait(unsigned ms)
{
	struct pollfd output = {.fd = STDOUT_FILENO};

	return poll(&output, 1, (int)ms) <= 0;
}
