/* virtio-net's control queue (virtio 1.2 §5.1.6.5); see net_internal.h. Machine lock held. A
 * command that makes no sense, or was not negotiated, is answered with VIRTIO_NET_ERR and changes
 * nothing. */
#include "base/num.h"
#include "devices/virtio/net_internal.h"

#define BUDGET 16u

/* The whole rest of the command. */
static bool read_whole_command(struct vq_elem *e, void *to, size_t len)
{
	return e->out_len == len && vq_read(e, to, len) == len;
}

/* §5.1.6.5.1 */
static bool set_rx_mode(struct virtio_net *n, uint8_t command, struct vq_elem *e)
{
	unsigned feature = command <= VIRTIO_NET_CTRL_RX_ALLMULTI ? VIRTIO_NET_F_CTRL_RX
								  : VIRTIO_NET_F_CTRL_RX_EXTRA;
	uint8_t on;

	if (command > VIRTIO_NET_CTRL_RX_NOBCAST || !net_has(n, feature) ||
	    !read_whole_command(e, &on, sizeof(on)) || on > 1)
		return false;
	n->s.rx_mode &= ~(UINT32_C(1) << command);
	n->s.rx_mode |= (uint32_t)on << command;
	return true;
}

struct mac_table {
	struct virtio_net_mac mac[VIRTIO_NET_MAX_MACS];
	uint32_t n;
	uint32_t many;
};

/* One of its two lists: le32 entries, then so many addresses. Where there are more than places,
 * none of their kind is filtered: that is `many`. */
static bool read_macs(struct mac_table *table, struct vq_elem *e, uint32_t many)
{
	struct virtio_net_mac mac;
	uint8_t entries[4];
	uint32_t count;
	size_t part;

	if (vq_read(e, entries, sizeof(entries)) < sizeof(entries))
		return false;
	count = le_get32(entries);
	if (count > e->out_len / sizeof(mac))
		return false;
	for (; count > 0 && table->n < VIRTIO_NET_MAX_MACS; count--) {
		(void)vq_read(e, &mac, sizeof(mac));
		table->mac[table->n++] = mac;
	}
	/* A list may have 4 GiB: the rest of it is not looked at. */
	if (count > 0)
		table->many |= many;
	for (uint64_t rest = (uint64_t)count * sizeof(mac); rest > 0; rest -= part)
		(void)vq_take_out(e, rest, &part);
	return true;
}

/* §5.1.6.5.2 */
static bool set_mac_table(struct virtio_net *n, struct vq_elem *e)
{
	struct mac_table table = {.n = 0};
	uint32_t unicast;

	if (!net_has(n, VIRTIO_NET_F_CTRL_RX) || !read_macs(&table, e, NET_RX_MANY_UNI))
		return false;
	unicast = table.n;
	if (!read_macs(&table, e, NET_RX_MANY_MULTI) || e->out_len > 0)
		return false;
	memcpy(n->s.macs, table.mac, sizeof(n->s.macs));
	n->s.unicast = unicast;
	n->s.nmacs = table.n;
	n->s.rx_mode &= ~(uint32_t)(NET_RX_MANY_UNI | NET_RX_MANY_MULTI);
	n->s.rx_mode |= table.many;
	return true;
}

static bool set_mac(struct virtio_net *n, struct vq_elem *e)
{
	uint8_t mac[NET_MAC_SIZE];

	if (!net_has(n, VIRTIO_NET_F_CTRL_MAC_ADDR) || !read_whole_command(e, mac, sizeof(mac)) ||
	    (mac[0] & 1) != 0)
		return false;
	memcpy(n->s.mac, mac, sizeof(mac));
	net_update_config(n);
	return true;
}

/* §5.1.6.5.4 */
static bool acknowledge_announce(struct virtio_net *n)
{
	if (!net_has(n, VIRTIO_NET_F_GUEST_ANNOUNCE))
		return false;
	n->s.announce = 0;
	net_update_config(n);
	return true;
}

/* §5.1.6.5.5 */
static bool set_pairs(struct virtio_net *n, struct vq_elem *e)
{
	uint8_t bytes[2];
	uint16_t pairs;

	if (!net_has(n, VIRTIO_NET_F_MQ) || !read_whole_command(e, bytes, sizeof(bytes)))
		return false;
	pairs = le_get16(bytes);
	if (pairs == 0 || pairs > n->max_pairs)
		return false;
	n->s.pairs = pairs;
	return true;
}

/* §5.1.6.5.7: what is named stays on, the rest of what was negotiated is off. */
static bool set_offloads(struct virtio_net *n, struct vq_elem *e)
{
	uint8_t bytes[8];
	uint64_t wanted;

	if (!net_has(n, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) ||
	    !read_whole_command(e, bytes, sizeof(bytes)))
		return false;
	wanted = le_get64(bytes);
	if ((wanted & ~(n->v.s.features & NET_GUEST_OFFLOADS)) != 0)
		return false;
	n->s.offloads_off = NET_GUEST_OFFLOADS & ~wanted;
	net_update_offloads(n);
	return true;
}

static bool handle_command(struct virtio_net *n, const struct virtio_net_ctrl_hdr *header,
			   struct vq_elem *e)
{
	switch (header->class << 8 | header->cmd) {
	case VIRTIO_NET_CTRL_MAC << 8 | VIRTIO_NET_CTRL_MAC_TABLE_SET:
		return set_mac_table(n, e);
	case VIRTIO_NET_CTRL_MAC << 8 | VIRTIO_NET_CTRL_MAC_ADDR_SET:
		return set_mac(n, e);
	case VIRTIO_NET_CTRL_ANNOUNCE << 8 | VIRTIO_NET_CTRL_ANNOUNCE_ACK:
		return acknowledge_announce(n);
	case VIRTIO_NET_CTRL_MQ << 8 | VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET:
		return set_pairs(n, e);
	case VIRTIO_NET_CTRL_GUEST_OFFLOADS << 8 | VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET:
		return set_offloads(n, e);
	default:
		return header->class == VIRTIO_NET_CTRL_RX && set_rx_mode(n, header->cmd, e);
	}
}

void net_serve_ctrl(struct virtio_net *n, unsigned queue)
{
	struct virtio_net_ctrl_hdr header;
	unsigned budget = BUDGET;
	struct vq_elem e;

	for (; budget > 0 && virtio_pop(&n->v, queue, &e); budget--) {
		virtio_net_ctrl_ack ack = VIRTIO_NET_ERR;

		if (vq_read(&e, &header, sizeof(header)) == sizeof(header) &&
		    handle_command(n, &header, &e))
			ack = VIRTIO_NET_OK;
		if (vq_write(&e, &ack, sizeof(ack)) < sizeof(ack)) {
			virtio_needs_reset(&n->v, "a command has no room for its answer");
			vq_unpop(&n->v.queue[queue]);
			return;
		}
		virtio_push(&n->v, queue, &e, sizeof(ack));
	}
	virtio_interrupt(&n->v, queue);
	if (budget == 0)
		virtio_reschedule(&n->v, queue);
}
