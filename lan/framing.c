/* See framing.h. */
#include "lan/framing.h"

#include <errno.h>

#include "base/num.h"
#include "devices/net/net_offload.h"

static uint32_t get_length(enum framing framing, const uint8_t *data)
{
	uint32_t length = le_get32(data);

	return framing == FRAMING_QEMU ? __builtin_bswap32(length) : length;
}

static bool is_sound(const struct message *message)
{
	struct virtio_net_hdr_v1 header;

	if (message->len < FRAMING_FRAME_MIN || message->len > NET_FRAME_MAX)
		return false;
	if (message->header == NULL)
		return true;
	memcpy(&header, message->header, sizeof(header));
	return net_header_fault(&header, message->len) == NULL;
}

int framing_next(enum framing framing, const uint8_t *data, size_t len, struct message *message)
{
	size_t head = framing == FRAMING_QEMU ? 0 : NET_HEADER_SIZE;
	uint32_t length;

	*message = (struct message){0};
	if (len < LAN_WIRE_PREFIX)
		return 0;
	length = get_length(framing, data);
	if (framing == FRAMING_TRUNK && (length & LAN_WIRE_NOTE) != 0) {
		message->note = true;
		length &= ~LAN_WIRE_NOTE;
		head = 0;
	}
	if (length < head || length > NET_MESSAGE_MAX)
		return -EBADMSG;
	if (len - LAN_WIRE_PREFIX < length)
		return 0;
	message->size = LAN_WIRE_PREFIX + length;
	message->header = head != 0 ? data + LAN_WIRE_PREFIX : NULL;
	message->frame = data + LAN_WIRE_PREFIX + head;
	message->len = length - head;
	message->sound = !message->note && is_sound(message);
	return (int)message->size;
}

size_t framing_head(enum framing framing, const uint8_t *header, size_t len,
		    uint8_t head[FRAMING_HEAD_MAX])
{
	if (framing == FRAMING_QEMU) {
		le_put32(head, __builtin_bswap32((uint32_t)len));
		return LAN_WIRE_PREFIX;
	}
	le_put32(head, (uint32_t)(NET_HEADER_SIZE + len));
	if (header != NULL)
		memcpy(head + LAN_WIRE_PREFIX, header, NET_HEADER_SIZE);
	else
		memset(head + LAN_WIRE_PREFIX, 0, NET_HEADER_SIZE);
	return FRAMING_HEAD_MAX;
}
