/* sd-bus' table of functions; see sd_bus_api.h. */
#include "limits/sd_bus_api.h"

#include "base/library.h"
#include "base/num.h"

static struct sd_bus_api table;

/* clang-format off */
#define SYMBOL(member, symbol) {#symbol, offsetof(struct sd_bus_api, member)}
/* clang-format on */

static const struct library_symbol symbols[] = {
	SYMBOL(open_system, sd_bus_open_system),
	SYMBOL(open_user, sd_bus_open_user),
	SYMBOL(new, sd_bus_new),
	SYMBOL(set_address, sd_bus_set_address),
	SYMBOL(start, sd_bus_start),
	SYMBOL(close, sd_bus_flush_close_unref),
	SYMBOL(call, sd_bus_call),
	SYMBOL(call_method, sd_bus_call_method),
	SYMBOL(match_signal, sd_bus_match_signal),
	SYMBOL(process, sd_bus_process),
	SYMBOL(wait, sd_bus_wait),
	SYMBOL(message_new, sd_bus_message_new_method_call),
	SYMBOL(append, sd_bus_message_append),
	SYMBOL(append_array, sd_bus_message_append_array),
	SYMBOL(open_container, sd_bus_message_open_container),
	SYMBOL(close_container, sd_bus_message_close_container),
	SYMBOL(read, sd_bus_message_read),
	SYMBOL(message_unref, sd_bus_message_unref),
	SYMBOL(error_free, sd_bus_error_free),
};

_Static_assert(ARRAY_SIZE(symbols) == sizeof(struct sd_bus_api) / sizeof(void *), "sd-bus");

static struct library library = {
	.soname = "libsystemd.so.0",
	.symbols = symbols,
	.nsymbols = ARRAY_SIZE(symbols),
	.table = &table,
};

const struct sd_bus_api *sd_bus_api(struct err *err)
{
	return library_table(&library, err);
}
