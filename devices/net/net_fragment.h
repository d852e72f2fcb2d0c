/*
 * IP fragmentation, for back ends whose other side hands out datagrams that are larger than the
 * guest's MTU.
 */
#ifndef TORPOR_DEVICES_NET_NET_FRAGMENT_H
#define TORPOR_DEVICES_NET_NET_FRAGMENT_H

#include "devices/net/net_offload.h"

/* Give `frame` to `emit` as fragments whose IP packets are not longer than `mtu` (RFC 791 §3.2, RFC
 * 8200 §4.5), or as it is when it needs none. `frame` has its checksums; it is overwritten and has
 * 8 bytes of room in front. `id` differs between IPv6 packets. Returns 0; -EMSGSIZE, and nothing
 * was given: it may not be fragmented, or is no IP; or what emit returned other than 0, which ends
 * it. Pure. */
int net_fragment(uint8_t *frame, size_t len, size_t mtu, uint32_t id, net_emit_fn *emit,
		 void *opaque);

#endif
