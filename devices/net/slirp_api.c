/* libslirp's table of functions; see slirp_api.h. */
#include "devices/net/slirp_api.h"

#include "base/library.h"
#include "base/num.h"

static struct slirp_api table;

/* clang-format off */
#define SYMBOL(member, symbol) {#symbol, offsetof(struct slirp_api, member)}
/* clang-format on */

static const struct library_symbol symbols[] = {
	SYMBOL(new, slirp_new),
	SYMBOL(cleanup, slirp_cleanup),
	SYMBOL(input, slirp_input),
	SYMBOL(fill, slirp_pollfds_fill),
	SYMBOL(poll, slirp_pollfds_poll),
	SYMBOL(handle_timer, slirp_handle_timer),
	SYMBOL(add_forward, slirp_add_hostxfwd),
	SYMBOL(remove_forward, slirp_remove_hostxfwd),
};

_Static_assert(ARRAY_SIZE(symbols) == sizeof(struct slirp_api) / sizeof(void *), "slirp");

static struct library library = {
	.soname = "libslirp.so.0",
	.symbols = symbols,
	.nsymbols = ARRAY_SIZE(symbols),
	.table = &table,
};

const struct slirp_api *slirp_api(struct err *err)
{
	return library_table(&library, err);
}
