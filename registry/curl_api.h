/* libcurl, loaded at first use: only verbs that speak to a registry need it, and it costs start-up
 * time and memory that no machine shall have. */
#ifndef TORPOR_REGISTRY_CURL_API_H
#define TORPOR_REGISTRY_CURL_API_H

#include <curl/curl.h>

#include "base/err.h"

/* Macros that check types, in front of what are pointers here. */
#undef curl_easy_setopt
#undef curl_easy_getinfo

struct curl_api {
	__typeof__(curl_easy_init) *init;
	__typeof__(curl_easy_cleanup) *cleanup;
	__typeof__(curl_easy_reset) *reset;
	__typeof__(curl_easy_setopt) *setopt;
	__typeof__(curl_easy_perform) *perform;
	__typeof__(curl_easy_getinfo) *getinfo;
	__typeof__(curl_easy_strerror) *strerror;
	__typeof__(curl_slist_append) *list_append;
	__typeof__(curl_slist_free_all) *list_free;
	__typeof__(curl_url) *url_new;
	__typeof__(curl_url_cleanup) *url_free;
	__typeof__(curl_url_set) *url_set;
	__typeof__(curl_url_get) *url_get;
	__typeof__(curl_free) *free;
	__typeof__(curl_global_init) *global_init;
};

/* Any thread. NULL, with the reason, when it is not there. */
const struct curl_api *curl_api(struct err *err);

#endif
