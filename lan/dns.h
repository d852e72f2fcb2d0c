/*
 * The server's side of DNS (RFC 1035) for the names of this LAN: NAME and NAME.lan. It asks no
 * other server: every other name does not exist. Pure; what comes is hostile. Cannot fail.
 */
#ifndef TORPOR_LAN_DNS_H
#define TORPOR_LAN_DNS_H

#include "lan/lease.h"

#define DNS_REPLY_MAX 512u

/* The length of the answer to a query of `len` bytes. 0, no answer: it is malformed, is a reply,
 * has not exactly one question, or its answer does not fit. */
size_t dns_answer(const struct leases *leases, const uint8_t *query, size_t len, uint32_t now,
		  uint8_t reply[DNS_REPLY_MAX]);

#endif
