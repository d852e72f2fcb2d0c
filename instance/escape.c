/* See escape.h. */
#include "instance/escape.h"

static enum escape_action action_of(uint8_t byte)
{
	switch (byte) {
	case '.':
		return ESCAPE_LEAVE;
	case 'B':
		return ESCAPE_BREAK;
	case '?':
		return ESCAPE_HELP;
	default:
		return ESCAPE_NONE;
	}
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
		if (*state == ESCAPE_TILDE && action_of(typed[i]) != ESCAPE_NONE) {
			*action = action_of(typed[i]);
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
		*state = typed[i] == '\r' || typed[i] == '\n' ? ESCAPE_LINE_START : ESCAPE_IN_LINE;
	}
	*used = len;
	return n;
}
