/* libsystemd's sd-bus, loaded at first use as the libraries of format/crypto/lazy.h are; any thread. */
#ifndef TORPOR_LIMITS_SD_BUS_API_H
#define TORPOR_LIMITS_SD_BUS_API_H

#include <systemd/sd-bus.h>

#include "base/err.h"

struct sd_bus_api {
	__typeof__(sd_bus_open_system) *open_system;
	__typeof__(sd_bus_open_user) *open_user;
	__typeof__(sd_bus_new) *new;
	__typeof__(sd_bus_set_address) *set_address;
	__typeof__(sd_bus_start) *start;
	__typeof__(sd_bus_flush_close_unref) *close;
	__typeof__(sd_bus_call) *call;
	__typeof__(sd_bus_call_method) *call_method;
	__typeof__(sd_bus_match_signal) *match_signal;
	__typeof__(sd_bus_process) *process;
	__typeof__(sd_bus_wait) *wait;
	__typeof__(sd_bus_message_new_method_call) *message_new;
	__typeof__(sd_bus_message_append) *append;
	__typeof__(sd_bus_message_append_array) *append_array;
	__typeof__(sd_bus_message_open_container) *open_container;
	__typeof__(sd_bus_message_close_container) *close_container;
	__typeof__(sd_bus_message_read) *read;
	__typeof__(sd_bus_message_unref) *message_unref;
	__typeof__(sd_bus_error_free) *error_free;
};

/* The table, or NULL with ERR_FAILED, which says why, when libsystemd is not there. It is valid for ever. */
const struct sd_bus_api *sd_bus_api(struct err *err);

#endif
