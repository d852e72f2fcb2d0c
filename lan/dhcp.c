/* See dhcp.h. Offsets are those of RFC 2131 §2, figure 1. */
#include "lan/dhcp.h"

#include <stdio.h>
#include <string.h>

#include "base/name.h"
#include "base/num.h"
#include "lan/port.h"

#define OFFSET_XID    4u
#define OFFSET_FLAGS  10u
#define OFFSET_CIADDR 12u
#define OFFSET_YIADDR 16u
#define OFFSET_GIADDR 24u
#define OFFSET_CHADDR 28u
#define OFFSET_COOKIE 236u
#define FIXED	      240u
#define SHORTEST      300u /* what BOOTP clients expect */

#define COOKIE	  0x63825363u
#define BROADCAST 0x8000u
#define EVERYBODY 0xffffffffu

enum dhcp_type {
	DHCP_NONE,
	DHCP_DISCOVER,
	DHCP_OFFER,
	DHCP_REQUEST,
	DHCP_DECLINE,
	DHCP_ACK,
	DHCP_NAK,
	DHCP_RELEASE,
	DHCP_INFORM,
};

enum option {
	OPTION_PAD = 0,
	OPTION_MASK = 1,
	OPTION_DNS = 6,
	OPTION_HOST_NAME = 12,
	OPTION_DOMAIN = 15,
	OPTION_REQUESTED = 50,
	OPTION_LEASE_TIME = 51,
	OPTION_TYPE = 53,
	OPTION_SERVER = 54,
	OPTION_END = 255,
};

struct dhcp_request {
	enum dhcp_type type;
	const uint8_t *data;
	uint32_t address;   /* ciaddr: that it has, or 0 */
	uint32_t requested; /* that it wants, or 0 */
	uint32_t server;    /* that it has chosen, or 0 */
	char name[LEASE_NAME];
};

/* ---- requests ---- */

static void dhcp_take_option(struct dhcp_request *r, uint8_t option, const uint8_t *value,
			     size_t len)
{
	if (option == OPTION_HOST_NAME && len > 0 && len < sizeof(r->name)) {
		memcpy(r->name, value, len);
		r->name[len] = '\0';
		if (!name_is_valid(r->name)) /* a NUL ends it, too */
			r->name[0] = '\0';
	} else if (option == OPTION_TYPE && len == 1 && value[0] <= DHCP_INFORM) {
		r->type = value[0];
	} else if (option == OPTION_REQUESTED && len == 4) {
		r->requested = be_get32(value);
	} else if (option == OPTION_SERVER && len == 4) {
		r->server = be_get32(value);
	}
}

static void dhcp_take_options(struct dhcp_request *r, const uint8_t *at, size_t len)
{
	while (len > 0 && at[0] != OPTION_END) {
		size_t size = at[0] == OPTION_PAD || len < 2 ? 1 : 2 + (size_t)at[1];

		if (size > len)
			return;
		if (size >= 2)
			dhcp_take_option(r, at[0], at + 2, size - 2);
		at += size;
		len -= size;
	}
}

/* A request by a station for itself, not passed on by a relay. No station has an address of zeros,
 * which marks a declined lease. */
static bool dhcp_parse(struct dhcp_request *r, const struct gateway_query *query,
		       const uint8_t *data, size_t len)
{
	static const uint8_t ethernet[] = {1, 1, NET_MAC_SIZE}; /* BOOTREQUEST of 10 Mb Ethernet */

	*r = (struct dhcp_request){.data = data};
	if (len < FIXED || memcmp(data, ethernet, sizeof(ethernet)) != 0 ||
	    be_get32(data + OFFSET_COOKIE) != COOKIE || be_get32(data + OFFSET_GIADDR) != 0 ||
	    memcmp(data + OFFSET_CHADDR, query->frame + NET_MAC_SIZE, NET_MAC_SIZE) != 0 ||
	    is_zero(data + OFFSET_CHADDR, NET_MAC_SIZE))
		return false;
	r->address = be_get32(data + OFFSET_CIADDR);
	dhcp_take_options(r, data + FIXED, len - FIXED);
	return true;
}

/* ---- replies ---- */

static void dhcp_add_option(struct dhcp_reply *reply, enum option option, const void *value,
			    size_t len)
{
	uint8_t *at = reply->data + reply->len;

	at[0] = (uint8_t)option;
	at[1] = (uint8_t)len;
	memcpy(at + 2, value, len);
	reply->len += 2 + len;
}

static void dhcp_add_number(struct dhcp_reply *reply, enum option option, uint32_t number)
{
	uint8_t value[4];

	be_put32(value, number);
	dhcp_add_option(reply, option, value, sizeof(value));
}

static void dhcp_begin(struct dhcp_reply *reply, const struct gateway *gateway,
		       const struct dhcp_request *r, enum dhcp_type type)
{
	uint8_t *data = reply->data, value = (uint8_t)type;

	data[0] = 2; /* BOOTREPLY */
	data[1] = 1;
	data[2] = NET_MAC_SIZE;
	memcpy(data + OFFSET_XID, r->data + OFFSET_XID, 4);
	memcpy(data + OFFSET_FLAGS, r->data + OFFSET_FLAGS, 2);
	memcpy(data + OFFSET_CHADDR, r->data + OFFSET_CHADDR, 16);
	be_put32(data + OFFSET_COOKIE, COOKIE);
	reply->len = FIXED;
	dhcp_add_option(reply, OPTION_TYPE, &value, 1);
	dhcp_add_number(reply, OPTION_SERVER, gateway->address);
}

static void dhcp_add_settings(struct dhcp_reply *reply, const struct gateway *gateway)
{
	dhcp_add_number(reply, OPTION_MASK, leases_mask(&gateway->leases));
	dhcp_add_number(reply, OPTION_DNS, gateway->dns);
	dhcp_add_option(reply, OPTION_DOMAIN, "lan", 3);
}

/* RFC 2131 §4.1: to the address it has; else to the one it gets, unless it cannot take that yet. */
static void dhcp_finish(struct dhcp_reply *reply, const struct dhcp_request *r, uint32_t given)
{
	bool broadcast = (be_get16(r->data + OFFSET_FLAGS) & BROADCAST) != 0 || given == 0;

	reply->data[reply->len++] = OPTION_END;
	if (reply->len < SHORTEST)
		reply->len = SHORTEST;
	if (r->address != 0 && given != 0) {
		reply->to = r->address;
	} else {
		reply->to = broadcast ? EVERYBODY : given;
		reply->broadcast = broadcast;
	}
}

static void dhcp_grant(struct dhcp_reply *reply, const struct gateway *gateway,
		       const struct dhcp_request *r, enum dhcp_type type, const struct lease *lease)
{
	dhcp_begin(reply, gateway, r, type);
	if (type == DHCP_ACK)
		be_put32(reply->data + OFFSET_CIADDR, r->address);
	be_put32(reply->data + OFFSET_YIADDR, lease->address);
	dhcp_add_number(reply, OPTION_LEASE_TIME, LEASE_TIME);
	dhcp_add_settings(reply, gateway);
	if (lease->name[0] != '\0')
		dhcp_add_option(reply, OPTION_HOST_NAME, lease->name, strlen(lease->name));
	dhcp_finish(reply, r, lease->address);
}

static void dhcp_name_lease(struct gateway *gateway, struct lease *lease,
			    const struct gateway_query *query, const struct dhcp_request *r)
{
	if (query->name != NULL)
		lease_name(&gateway->leases, lease, query->name, true);
	else if (r->name[0] != '\0')
		lease_name(&gateway->leases, lease, r->name, false);
}

static void dhcp_handle_discover(struct gateway *gateway, const struct gateway_query *query,
				 const struct dhcp_request *r, struct dhcp_reply *reply)
{
	struct lease *lease = lease_take(&gateway->leases, query->frame + NET_MAC_SIZE, query->port,
					 r->requested, query->now);

	if (lease == NULL)
		return;
	dhcp_name_lease(gateway, lease, query, r);
	dhcp_grant(reply, gateway, r, DHCP_OFFER, lease);
}

/* RFC 2131 §4.3.2. A station with an address for which there is no lease got it before this server
 * was started: it keeps it. */
static void dhcp_handle_request(struct gateway *gateway, const struct gateway_query *query,
				const struct dhcp_request *r, struct dhcp_reply *reply)
{
	uint32_t wanted = r->address != 0 ? r->address : r->requested;
	struct lease *lease;

	if (r->server != 0 && r->server != gateway->address)
		return;
	lease = lease_adopt(&gateway->leases, query->frame + NET_MAC_SIZE, query->port, wanted,
			    query->now);
	if (lease == NULL) {
		dhcp_begin(reply, gateway, r, DHCP_NAK);
		dhcp_finish(reply, r, 0);
		return;
	}
	lease->bound = true;
	lease->until = query->now + LEASE_TIME;
	lease->port = (uint16_t)query->port;
	dhcp_name_lease(gateway, lease, query, r);
	dhcp_grant(reply, gateway, r, DHCP_ACK, lease);
}

void dhcp_answer(struct gateway *gateway, const struct gateway_query *query, const uint8_t *data,
		 size_t len, struct dhcp_reply *reply)
{
	struct dhcp_request r;
	struct lease *lease;

	*reply = (struct dhcp_reply){0};
	if (!dhcp_parse(&r, query, data, len))
		return;
	lease = lease_of(&gateway->leases, query->frame + NET_MAC_SIZE);
	if (r.type == DHCP_DISCOVER) {
		dhcp_handle_discover(gateway, query, &r, reply);
	} else if (r.type == DHCP_REQUEST) {
		dhcp_handle_request(gateway, query, &r, reply);
	} else if (r.type == DHCP_INFORM && r.address != 0) {
		dhcp_begin(reply, gateway, &r, DHCP_ACK);
		dhcp_add_settings(reply, gateway);
		dhcp_finish(reply, &r, r.address);
	} else if (r.type == DHCP_DECLINE && lease != NULL && lease->address == r.requested) {
		lease_decline(lease, query->now);
	} else if (r.type == DHCP_RELEASE && lease != NULL && lease->address == r.address) {
		lease->until = query->now;
	}
}
