/* libslirp, loaded at first use like the libraries of format/crypto/lazy.h; any thread. */
#ifndef TORPOR_DEVICES_NET_SLIRP_API_H
#define TORPOR_DEVICES_NET_SLIRP_API_H

#include <slirp/libslirp.h>

#include "base/err.h"

struct slirp_api {
	__typeof__(slirp_new) *new;
	__typeof__(slirp_cleanup) *cleanup;
	__typeof__(slirp_input) *input;
	__typeof__(slirp_pollfds_fill) *fill;
	__typeof__(slirp_pollfds_poll) *poll;
	__typeof__(slirp_handle_timer) *handle_timer;
	__typeof__(slirp_add_hostxfwd) *add_forward;
	__typeof__(slirp_remove_hostxfwd) *remove_forward;
};

/* The table, or NULL with ERR_FAILED, which says why, when libslirp is not there or older than 4.7.
 * The table is valid for ever. */
const struct slirp_api *slirp_api(struct err *err);

#endif
