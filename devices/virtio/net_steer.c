/* Receive steering (virtio 1.2 §5.1.6.5.6): frames of a flow go where the driver sends it from.
 * What is not known goes to the first pair. Two flows may share an entry; then one of them is only
 * less well placed. */
#include <linux/if_ether.h>
#include <netinet/in.h>

#include "base/assert.h"
#include "base/num.h"
#include "devices/virtio/net_internal.h"

#define HEADERS	 128u /* bytes of a frame that are looked at; what is behind them counts as zero */
#define V6_BYTES 40u

static uint8_t fold(const uint8_t *bytes, size_t len)
{
	unsigned sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = sum * 31 + bytes[i];
	return (uint8_t)(sum ^ sum >> 8);
}

/* The same both ways: both ends are hashed alike and added. */
static uint8_t hash_ends(const uint8_t *ends, size_t size)
{
	return (uint8_t)(fold(ends, size) + fold(ends + size, size));
}

static bool has_ports(uint8_t protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

static uint8_t hash_v4(const uint8_t *ip)
{
	size_t header = (size_t)(ip[0] & 15) * 4;
	bool fragment = ((ip[6] << 8 | ip[7]) & 0x3fff) != 0;
	uint8_t hash = hash_ends(ip + 12, 4);

	if (has_ports(ip[9]) && !fragment)
		hash = (uint8_t)(hash + hash_ends(ip + header, 2));
	return hash;
}

static uint8_t hash_v6(const uint8_t *ip)
{
	uint8_t hash = hash_ends(ip + 8, 16);

	if (has_ports(ip[6]))
		hash = (uint8_t)(hash + hash_ends(ip + V6_BYTES, 2));
	return hash;
}

static uint8_t hash_frame(const struct iovec *iov, unsigned niov)
{
	uint8_t frame[HEADERS] = {0};
	const uint8_t *type = frame + 12;

	(void)net_gather(iov, niov, NET_HEADER_SIZE, frame, sizeof(frame));
	if ((type[0] << 8 | type[1]) == ETH_P_8021Q)
		type += 4;
	static_assert(ETH_HLEN + 4 + 60 + 4 <= HEADERS, "IPv4 with options, and ports");
	switch (type[0] << 8 | type[1]) {
	case ETH_P_IP:
		return hash_v4(type + 2);
	case ETH_P_IPV6:
		return hash_v6(type + 2);
	default:
		return 0;
	}
}

void net_steer_sent(struct net_steering *steering, const struct iovec *iov, unsigned niov,
		    unsigned pair)
{
	steering->pair[hash_frame(iov, niov)] = (uint8_t)pair;
}

unsigned net_steer_received(const struct net_steering *steering, const struct iovec *iov,
			    unsigned niov, unsigned pairs)
{
	unsigned pair = pairs > 1 ? steering->pair[hash_frame(iov, niov)] : 0;

	/* The driver may have fewer in use than when it sent. */
	return pair < pairs ? pair : 0;
}
