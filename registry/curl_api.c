/* libcurl's table of functions; see curl_api.h. */
#include "registry/curl_api.h"

#include "base/library.h"
#include "base/num.h"

static struct curl_api table;

/* clang-format off */
#define SYMBOL(member, symbol) {#symbol, offsetof(struct curl_api, member)}
/* clang-format on */

static const struct library_symbol symbols[] = {
	SYMBOL(init, curl_easy_init),		SYMBOL(cleanup, curl_easy_cleanup),
	SYMBOL(reset, curl_easy_reset),		SYMBOL(setopt, curl_easy_setopt),
	SYMBOL(perform, curl_easy_perform),	SYMBOL(getinfo, curl_easy_getinfo),
	SYMBOL(strerror, curl_easy_strerror),	SYMBOL(list_append, curl_slist_append),
	SYMBOL(list_free, curl_slist_free_all), SYMBOL(url_new, curl_url),
	SYMBOL(url_free, curl_url_cleanup),	SYMBOL(url_set, curl_url_set),
	SYMBOL(url_get, curl_url_get),		SYMBOL(free, curl_free),
	SYMBOL(global_init, curl_global_init),
};

_Static_assert(ARRAY_SIZE(symbols) == sizeof(struct curl_api) / sizeof(void *), "libcurl");

static void start_curl(void)
{
	(void)table.global_init(CURL_GLOBAL_DEFAULT);
}

static struct library library = {
	.soname = "libcurl.so.4",
	.symbols = symbols,
	.nsymbols = ARRAY_SIZE(symbols),
	.table = &table,
	.loaded = start_curl,
};

const struct curl_api *curl_api(struct err *err)
{
	return library_table(&library, err);
}
