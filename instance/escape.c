/* See escape.h. */
#include "instance/escape.h"

static enum escape_state after(uint8_t byte)
{
	return byte == '\r' || byte == '\n' ? ESCAPE_LINE_START : ESCAPE_IN_LINE;
}

size_t escape_filter(enum escape_state *state, const uint8_t *typed, size_t len, uint8_t *out,
		     size_t *used, enum escape_action *action)
{
	size_t n = 0;

	*action = ESCAPE_NONE;
	for (size_t i = 0; i < len; i++) {
		if (*state == ESCAPE_LINE_START && typed[i] == '~') {
			*state = ESCAPE_TILDE;
			continue;
		}
		if (*state == ESCAPE_TILDE && (typed[i] == '.' || typed[i] == 'B')) {
			*action = typed[i] == '.' ? ESCAPE_LEAVE : ESCAPE_BREAK;
			*state = ESCAPE_LINE_START;
			*used = i + 1;
			return n;
		}
		if (*state == ESCAPE_TILDE) {
			out[n++] = '~';
			*state = ESCAPE_IN_LINE;
			if (typed[i] == '~')
				continue;
		}
		out[n++] = typed[i];
		*state = after(typed[i]);
	}
	*used = len;
	return n;
}
