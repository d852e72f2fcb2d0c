/* libmicrohttpd's table of functions; see microhttpd_api.h. */
#include "serve/microhttpd_api.h"

#include "base/library.h"
#include "base/num.h"

static struct microhttpd_api table;

/* clang-format off */
#define SYMBOL(member, symbol) {#symbol, offsetof(struct microhttpd_api, member)}
/* clang-format on */

static const struct library_symbol symbols[] = {
	SYMBOL(start_daemon, MHD_start_daemon),
	SYMBOL(stop_daemon, MHD_stop_daemon),
	SYMBOL(response_from_buffer, MHD_create_response_from_buffer),
	SYMBOL(response_from_fd, MHD_create_response_from_fd_at_offset64),
	SYMBOL(destroy_response, MHD_destroy_response),
	SYMBOL(add_header, MHD_add_response_header),
	SYMBOL(queue_response, MHD_queue_response),
	SYMBOL(lookup_value, MHD_lookup_connection_value),
	SYMBOL(connection_info, MHD_get_connection_info),
};

_Static_assert(ARRAY_SIZE(symbols) == sizeof(struct microhttpd_api) / sizeof(void *),
	       "libmicrohttpd");

static struct library library = {
	.soname = "libmicrohttpd.so.12",
	.symbols = symbols,
	.nsymbols = ARRAY_SIZE(symbols),
	.table = &table,
};

const struct microhttpd_api *microhttpd_api(struct err *err)
{
	return library_table(&library, err);
}
