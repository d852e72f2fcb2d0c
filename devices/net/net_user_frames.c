/*
 * Frames between the guest and libslirp; see net_user_internal.h.
 *
 * Few large frames instead of many small ones, both ways. libslirp's TCP takes segments of any
 * length, so that what the guest leaves to its card to be cut goes in whole. Towards the guest it
 * makes segments as long as the guest's MSS option allows: when the guest takes frames that are
 * still to be cut, that option is raised on its way, and the guest is told with each large frame
 * how it would have been cut for the MSS that it really named (net_flows.h).
 */
#include <errno.h>
#include <linux/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <stdlib.h>

#include "base/num.h"
#include "devices/net/net_flows.h"
#include "devices/net/net_fragment.h"
#include "devices/net/net_user_internal.h"

#define TCP_CHECKSUM  16u
#define MSS_UNKNOWN   536u
#define ARP_SENDER_IP (ETH_HLEN + 14u)
#define ARP_SIZE      (ETH_HLEN + 28u)
#define HEADERS_MAX   (ETH_HLEN + sizeof(struct ip6_hdr) + 60u)

/* A message that the card had no room for. */
struct user_frame {
	struct user_frame *next;
	size_t len;
	uint8_t message[];
};

static size_t user_gather(uint8_t *to, const struct iovec *iov, unsigned n)
{
	size_t len = 0;

	for (unsigned i = 0; i < n; i++) {
		memcpy(to + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	return len;
}

static unsigned tso_of(const struct net_packet *packet)
{
	return packet->ethertype == ETH_P_IP ? NET_TSO4 : NET_TSO6;
}

static void user_put_sum(uint8_t *at, uint32_t sum, bool complement)
{
	uint16_t v = net_sum_fold(sum);

	v = complement ? (uint16_t)~v : v;
	memcpy(at, &v, sizeof(v));
}

/* From the guest. */

/* Have libslirp send segments of any length on this connection. */
static void raise_mss(const struct net_user *u, uint8_t *frame, const struct net_packet *p)
{
	uint8_t *sum = frame + p->l4 + TCP_CHECKSUM;
	size_t mss = net_mss_offset(frame, p);

	if (mss == 0 || !(u->accepted & tso_of(p)))
		return;
	memset(frame + mss, 0xff, 2);
	memset(sum, 0, 2);
	user_put_sum(sum, net_sum(frame + p->l4, p->end - p->l4, net_pseudo_sum(frame, p)), true);
}

/* net_emit_fn */
static int input_frame(void *opaque, const uint8_t *frame, size_t len)
{
	struct net_user *u = opaque;

	u->api->input(u->slirp, frame, (int)len);
	return 0;
}

/* The TCP checksum of a frame that is not cut: some drivers leave the length out of the sum that
 * they prepare. False: it is not what its header says. */
static bool finish_large(struct virtio_net_hdr_v1 *header, uint8_t *frame, size_t len,
			 const struct net_packet *p)
{
	if (p->l4 == 0 || p->protocol != IPPROTO_TCP || le16toh(header->csum_start) != p->l4 ||
	    le16toh(header->csum_offset) != TCP_CHECKSUM || p->end != len)
		return false;
	user_put_sum(frame + p->l4 + TCP_CHECKSUM, net_pseudo_sum(frame, p), false);
	net_checksum(header, frame, len);
	return true;
}

static void user_take_tcp(struct net_user *u, struct virtio_net_hdr_v1 *header, uint8_t *frame,
			  size_t len, const struct net_packet *p)
{
	net_flows_note(u->b.card->flows, frame, len);
	if (header->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		net_checksum(header, frame, len);
		if (frame[p->l4 + 13] & TH_SYN)
			raise_mss(u, frame, p);
		(void)input_frame(u, frame, len);
	} else if (p->end - p->ip > USER_MTU) {
		(void)net_plain(header, frame, len, input_frame, u);
	} else if (finish_large(header, frame, len, p)) {
		(void)input_frame(u, frame, len);
	}
}

/* Learn the guest's address from what it sends: published ports lead there. */
static void learn_guest_address(struct net_user *u, const uint8_t *frame, size_t len,
				const struct net_packet *p)
{
	struct in_addr address;
	size_t at;

	if (u->guest_known || memcmp(frame + ETH_ALEN, u->b.card->mac, ETH_ALEN) != 0)
		return;
	if (p->ethertype == ETH_P_IP && p->ip == ETH_HLEN)
		at = ETH_HLEN + 12;
	else if (p->ethertype == ETH_P_ARP && len >= ARP_SIZE)
		at = ARP_SENDER_IP;
	else
		return;
	memcpy(&address, frame + at, sizeof(address));
	user_set_guest(u, address);
}

/* Whether its destination is this host itself, or no host: libslirp would connect to it. The IPv6
 * unspecified, loopback, IPv4-mapped and IPv4-compatible addresses begin with ten zero bytes. */
static bool is_forbidden(const uint8_t *frame, size_t len)
{
	static const uint8_t zeros[10];
	const uint8_t *ip = frame + ETH_HLEN;

	if (frame[12] == ETH_P_IP >> 8 && frame[13] == (ETH_P_IP & 0xff))
		return len < ETH_HLEN + sizeof(struct iphdr) || ip[16] == 0 || ip[16] == 127;
	if (frame[12] == ETH_P_IPV6 >> 8 && frame[13] == (ETH_P_IPV6 & 0xff))
		return len < ETH_HLEN + sizeof(struct ip6_hdr) ||
		       memcmp(ip + 24, zeros, sizeof(zeros)) == 0;
	return false;
}

static void user_take(struct net_user *u, struct virtio_net_hdr_v1 *header, uint8_t *frame,
		      size_t len)
{
	bool tcp = false, udp = false, opens_socket;
	struct net_packet p;

	if (is_forbidden(frame, len))
		return;
	if (net_parse(frame, len, &p)) {
		tcp = p.l4 != 0 && p.protocol == IPPROTO_TCP;
		udp = p.l4 != 0 && p.protocol == IPPROTO_UDP;
	}
	learn_guest_address(u, frame, len, &p);
	opens_socket = tcp ? (frame[p.l4 + 13] & (TH_SYN | TH_ACK)) == TH_SYN : p.ip != 0;
	/* A hostile guest may not use up this process's descriptors. */
	if (u->nopen >= u->maxopen && opens_socket)
		return;
	user_loop_clock(u);
	if (udp && p.ip == ETH_HLEN &&
	    (user_answer_loopback(u, frame, &p) || user_dns_query(u, frame, &p)))
		return;
	if (tcp && p.ip == ETH_HLEN) {
		user_take_tcp(u, header, frame, len, &p);
	} else if (header->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		net_checksum(header, frame, len);
		(void)input_frame(u, frame, len);
	}
	/* An answer to ARP or NDP lets go what waits for it, but only when polled. */
	user_loop_changed(u, !tcp && !udp);
}

int user_send(struct net_backend *b, const struct iovec *iov, unsigned n, size_t len)
{
	struct net_user *u = container_of(b, struct net_user, b);
	struct virtio_net_hdr_v1 header;

	if (len < NET_HEADER_SIZE + ETH_HLEN || len > NET_MESSAGE_MAX)
		return 0;
	(void)user_gather(u->from_guest, iov, n);
	memcpy(&header, u->from_guest, sizeof(header));
	user_take(u, &header, u->from_guest + NET_HEADER_SIZE, len - NET_HEADER_SIZE);
	return 0;
}

/* To the guest. */

static void user_enqueue(struct net_user *u, const struct iovec *iov, unsigned n, size_t len)
{
	struct user_frame *f = NULL;

	if (u->queued + len <= USER_QUEUE_MAX)
		f = malloc(sizeof(*f) + len);
	if (f == NULL) {
		u->b.card->ops->dropped(u->b.card);
		return;
	}
	f->next = NULL;
	f->len = user_gather(f->message, iov, n);
	*u->queue_end = f;
	u->queue_end = &f->next;
	u->queued += len;
}

static void user_give(struct net_user *u, const struct iovec *iov, unsigned n, size_t len)
{
	struct net_card *card = u->b.card;

	if (u->queue != NULL || !u->running || card->ops->receive(card, iov, n, len) == -EAGAIN)
		user_enqueue(u, iov, n, len);
}

static void user_dequeue(struct net_user *u)
{
	struct user_frame *f = u->queue;

	u->queue = f->next;
	u->queued -= f->len;
	if (u->queue == NULL)
		u->queue_end = &u->queue;
	free(f);
}

bool user_flush_queue(struct net_user *u)
{
	struct net_card *card = u->b.card;

	while (u->queue != NULL) {
		const struct iovec iov = {u->queue->message, u->queue->len};

		if (card->ops->receive(card, &iov, 1, u->queue->len) == -EAGAIN)
			return false;
		user_dequeue(u);
	}
	return true;
}

void user_drop_queue(struct net_user *u)
{
	while (u->queue != NULL)
		user_dequeue(u);
}

/* net_emit_fn: a frame whose checksums are there; libslirp's always are. */
static int user_give_plain(void *opaque, const uint8_t *frame, size_t len)
{
	struct net_user *u = opaque;
	struct virtio_net_hdr_v1 header = {
		.flags = u->accepted & NET_CHECKSUM ? VIRTIO_NET_HDR_F_DATA_VALID : 0,
	};
	const struct iovec iov[] = {{&header, sizeof(header)}, {(void *)frame, len}};

	user_give(u, iov, ARRAY_SIZE(iov), sizeof(header) + len);
	return 0;
}

static struct virtio_net_hdr_v1 large_header(const struct net_packet *p, uint16_t mss)
{
	return (struct virtio_net_hdr_v1){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = p->ethertype == ETH_P_IP ? VIRTIO_NET_HDR_GSO_TCPV4
						     : VIRTIO_NET_HDR_GSO_TCPV6,
		.hdr_len = htole16((uint16_t)p->payload),
		.gso_size = htole16(mss),
		.csum_start = htole16((uint16_t)p->l4),
		.csum_offset = htole16(TCP_CHECKSUM),
	};
}

/* Several segments at once, for the guest to cut if it has to; the headers are ours to change. */
static void user_give_large(struct net_user *u, const uint8_t *frame, const struct net_packet *p,
			    uint16_t mss)
{
	struct virtio_net_hdr_v1 header = large_header(p, mss);
	uint8_t headers[HEADERS_MAX];
	const struct iovec iov[] = {
		{&header, sizeof(header)},
		{headers, p->payload},
		{(void *)(frame + p->payload), p->end - p->payload},
	};

	memcpy(headers, frame, p->payload);
	user_put_sum(headers + p->l4 + TCP_CHECKSUM, net_pseudo_sum(frame, p), false);
	user_give(u, iov, ARRAY_SIZE(iov), sizeof(header) + p->end);
}

static void user_give_segments(struct net_user *u, const uint8_t *frame, const struct net_packet *p,
			       uint16_t mss)
{
	struct virtio_net_hdr_v1 header = large_header(p, mss);

	memcpy(u->to_guest, frame, p->end);
	(void)net_plain(&header, u->to_guest, p->end, user_give_plain, u);
}

static void user_give_tcp(struct net_user *u, const uint8_t *frame, size_t len,
			  const struct net_packet *p)
{
	const struct net_flow *flow = net_flows_note_peer(u->b.card->flows, frame, len);
	uint16_t mss = flow == NULL ? MSS_UNKNOWN : flow->mss;

	if (p->end - p->payload <= mss)
		(void)user_give_plain(u, frame, len);
	else if (u->accepted & tso_of(p) && p->payload <= HEADERS_MAX)
		user_give_large(u, frame, p, mss);
	else
		user_give_segments(u, frame, p, mss);
}

void user_deliver(struct net_user *u, const uint8_t *frame, size_t len)
{
	uint8_t *whole = u->to_guest + USER_ROOM;
	struct net_packet p;

	if (len > NET_FRAME_MAX || u->b.card == NULL)
		return;
	if (!net_parse(frame, len, &p))
		p.l4 = 0;
	if (p.l4 != 0 && p.protocol == IPPROTO_UDP)
		user_note_peer(u, frame, &p);
	if (p.l4 != 0 && p.protocol == IPPROTO_TCP) {
		user_give_tcp(u, frame, len, &p);
	} else if (len <= ETH_HLEN + u->mtu) {
		(void)user_give_plain(u, frame, len);
	} else {
		/* libslirp was given an MTU of USER_MTU. */
		memcpy(whole, frame, len);
		(void)net_fragment(whole, len, u->mtu, u->fragment_id++, user_give_plain, u);
	}
}
