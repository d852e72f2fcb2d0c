/*
 * Finishing what a guest left to its network card: checksums and segmentation (virtio 1.2
 * §5.1.6.2), for back ends whose other side expects plain Ethernet. Also the check of headers and
 * the parser of frames that all back ends share. Pure; frames are hostile.
 */
#ifndef TORPOR_DEVICES_NET_NET_OFFLOAD_H
#define TORPOR_DEVICES_NET_NET_OFFLOAD_H

#include <linux/virtio_net.h>

#include "devices/net/net.h"

#define NET_TCP_ECE 0x40u /* RFC 3168 §6.1 */
#define NET_TCP_CWR 0x80u

/* Why a header from the guest, before a frame of `len` bytes, breaks the rules (§5.1.6.2), as in
 * "a frame's header is broken: it is to be cut into nothing"; NULL: it does not. Then the checksum
 * is within the frame, gso_type one that was offered, gso_size not 0, and a large frame has
 * NEEDS_CSUM. A frame may still be shorter than an Ethernet header. */
const char *net_header_fault(const struct virtio_net_hdr_v1 *header, size_t len);

/* Fill in the checksum that the header asks for, in place, and clear the flag. The header has no
 * fault. */
void net_checksum(struct virtio_net_hdr_v1 *header, uint8_t *frame, size_t len);

/* Called for each plain frame. What it returns other than 0 ends the call that emits, which returns
 * it. */
typedef int net_emit_fn(void *opaque, const uint8_t *frame, size_t len);

/* Give `frame` to `emit` as frames that any Ethernet takes: cut into segments of gso_size when it
 * is a large TCP frame (IP lengths, ids, TCP sequence, flags and checksums as TSO has them), else
 * with its checksum. `frame` is overwritten. Returns 0; -EINVAL when the frame is not what its
 * header says, and nothing was given; or what emit returned other than 0. */
int net_plain(struct virtio_net_hdr_v1 *header, uint8_t *frame, size_t len, net_emit_fn *emit,
	      void *opaque);

/* Ones' complement sum (RFC 1071) of `len` bytes, to be folded; `sum` continues one of even length.
 * What is folded is to be stored by memcpy, whatever the byte order. */
uint32_t net_sum(const uint8_t *data, size_t len, uint32_t sum);
uint16_t net_sum_fold(uint32_t sum);

/* Where things are in a frame; NULL or 0 where it has none. All within the frame. */
struct net_packet {
	uint16_t ethertype; /* host order, behind any VLAN tag */
	size_t ip;	    /* offsets: of the IPv4 or IPv6 header, */
	size_t l4;	/* of the TCP or UDP header, complete; 0: not a first fragment of either, */
	size_t payload; /* of what is behind it */
	size_t end;	/* of the IP packet; what follows is padding */
	uint8_t protocol; /* IPPROTO_TCP, IPPROTO_UDP, … */
};

/* False when it is not well-formed IPv4 or IPv6. */
bool net_parse(const uint8_t *frame, size_t len, struct net_packet *packet);

/* Where in the frame the value of the TCP option "maximum segment size" is; 0: it has none. The
 * packet has an `l4`, of TCP. */
size_t net_mss_offset(const uint8_t *frame, const struct net_packet *packet);

/* The sum of the pseudo header (RFC 9293 §3.1, RFC 8200 §8.1) of a packet with an `l4`; folded, but
 * not complemented, it is what a frame with NEEDS_CSUM has in its checksum field. */
uint32_t net_pseudo_sum(const uint8_t *frame, const struct net_packet *packet);

#endif
