/* See init.h and guest/init_config.h. */
#include "guest/init_config.h"

#include "guest/init/init.h"

#define ROOM(list) (sizeof(list) / sizeof((list)[0]))

static void take(struct init_config *c, char key, char *value)
{
	switch (key) {
	case INIT_MODULE:
		if (c->nmodules < ROOM(c->modules))
			c->modules[c->nmodules++] = value;
		break;
	case INIT_ROOT:
		c->root = value;
		break;
	case INIT_ROOT_TYPE:
		c->root_type = value;
		break;
	case INIT_ARGUMENT:
		if (c->nargs < INIT_WORDS_MAX)
			c->argv[c->nargs++] = value;
		break;
	case INIT_VARIABLE:
		if (c->nenv < INIT_WORDS_MAX)
			c->env[c->nenv++] = value;
		break;
	case INIT_USER:
		c->user = value;
		break;
	case INIT_FOLDER:
		c->folder = value;
		break;
	case INIT_VOLUME:
		if (c->nvolumes < ROOM(c->volumes))
			c->volumes[c->nvolumes++] = value;
		break;
	case INIT_SHARE:
		if (c->nshares < ROOM(c->shares))
			c->shares[c->nshares++] = value;
		break;
	case INIT_STOP_SIGNAL:
		(void)text_number(value, &c->stop_signal);
		break;
	case INIT_HOSTNAME:
		c->hostname = value;
		break;
	default:
		break;
	}
}

void config_parse(struct init_config *config, char *text, size_t len)
{
	size_t at = 0;

	while (at < len) {
		size_t size = text_len(text + at);

		if (size > 0)
			take(config, text[at], text + at + 1);
		at += size + 1;
	}
}
