/* libmicrohttpd, loaded at first use: `torpor serve` alone needs it, and it brings GnuTLS. */
#ifndef TORPOR_SERVE_MICROHTTPD_API_H
#define TORPOR_SERVE_MICROHTTPD_API_H

#include <microhttpd.h>

#include "base/err.h"

struct microhttpd_api {
	__typeof__(MHD_start_daemon) *start_daemon;
	__typeof__(MHD_stop_daemon) *stop_daemon;
	__typeof__(MHD_create_response_from_buffer) *response_from_buffer;
	__typeof__(MHD_create_response_from_fd_at_offset64) *response_from_fd;
	__typeof__(MHD_destroy_response) *destroy_response;
	__typeof__(MHD_add_response_header) *add_header;
	__typeof__(MHD_queue_response) *queue_response;
	__typeof__(MHD_lookup_connection_value) *lookup_value;
	__typeof__(MHD_get_connection_info) *connection_info;
};

/* Any thread. NULL, with the reason, when it is not there. */
const struct microhttpd_api *microhttpd_api(struct err *err);

#endif
