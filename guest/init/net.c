/*
 * Cards and their addresses. A process for each card keeps its lease: DHCP over an ordinary socket,
 * with answers asked for as broadcasts (RFC 2131 §4.1), so that a card without an address gets
 * them. A lease is renewed by asking for the same address again at half its time. The first card's
 * server names the router and the name servers. IPv6 is the kernel's own. See init.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#include "guest/init/init.h"

#define CLIENT_PORT 68
#define SERVER_PORT 67
#define MAGIC	    0x63825363u
#define TRIES	    3u
#define TRY_MS	    1000u
#define AGAIN_MS    10000u
#define LEAST_S	    30u

enum {
	DHCP_DISCOVER = 1,
	DHCP_OFFER = 2,
	DHCP_REQUEST = 3,
	DHCP_ACK = 5,
};

enum {
	OPT_MASK = 1,
	OPT_ROUTER = 3,
	OPT_DNS = 6,
	OPT_HOSTNAME = 12,
	OPT_DOMAIN = 15,
	OPT_ADDRESS = 50,
	OPT_LEASE = 51,
	OPT_TYPE = 53,
	OPT_SERVER = 54,
	OPT_WANTED = 55,
	OPT_END = 255,
};

struct message {
	uint8_t op, htype, hlen, hops;
	uint32_t xid;
	uint16_t secs, flags;
	uint32_t ciaddr, yiaddr, siaddr, giaddr;
	uint8_t chaddr[16], sname[64], file[128];
	uint32_t magic;
	uint8_t options[1024];
};

struct lease {
	uint32_t address, mask, router, server, seconds;
	uint32_t dns[3];
	unsigned ndns;
	char domain[128];
};

static long processes[NET_CARDS];

static void card_name(char name[IFNAMSIZ], unsigned card)
{
	text_copy(name, IFNAMSIZ, "eth0");
	name[3] = (char)('0' + card);
}

static long control_socket(void)
{
	return SYS3(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static struct ifreq request_for(const char *name)
{
	struct ifreq request = {0};

	text_copy(request.ifr_name, sizeof(request.ifr_name), name);
	return request;
}

static long set_up(long fd, const char *name, bool up)
{
	struct ifreq request = request_for(name);
	long ret = SYS3(SYS_ioctl, fd, SIOCGIFFLAGS, &request);

	if (ret < 0)
		return ret;
	request.ifr_flags = (short)(up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP);
	return SYS3(SYS_ioctl, fd, SIOCSIFFLAGS, &request);
}

void net_begin(void)
{
	char name[IFNAMSIZ];
	long fd = control_socket();

	(void)set_up(fd, "lo", true);
	for (unsigned card = 0; card < NET_CARDS; card++) {
		card_name(name, card);
		(void)set_up(fd, name, true);
	}
	SYS1(SYS_close, fd);
}

/* --- messages --- */

static uint8_t *add_option(uint8_t *at, uint8_t code, const void *data, size_t len)
{
	at[0] = code;
	at[1] = (uint8_t)len;
	memcpy(at + 2, data, len);
	return at + 2 + len;
}

/* Returns its length. */
static size_t fill_message(struct message *m, uint8_t type, const struct lease *lease)
{
	static const uint8_t wanted[] = {OPT_MASK, OPT_ROUTER, OPT_DNS, OPT_DOMAIN, OPT_LEASE};
	char host[65];
	uint8_t *at = m->options;
	size_t len;

	at = add_option(at, OPT_TYPE, &type, 1);
	at = add_option(at, OPT_WANTED, wanted, sizeof(wanted));
	if (file_read("/proc/sys/kernel/hostname", host, sizeof(host)) > 1) {
		len = text_len(host) - 1; /* without the end of the line */
		at = add_option(at, OPT_HOSTNAME, host, len);
	}
	if (lease->address != 0)
		at = add_option(at, OPT_ADDRESS, &lease->address, 4);
	if (type == DHCP_REQUEST)
		at = add_option(at, OPT_SERVER, &lease->server, 4);
	*at++ = OPT_END;
	len = (size_t)(at - (uint8_t *)m);
	return len < 300 ? 300 : len; /* as BOOTP has it */
}

static void take_option(struct lease *lease, uint8_t code, const uint8_t *data, size_t len)
{
	if (code == OPT_DOMAIN && len < sizeof(lease->domain)) {
		memcpy(lease->domain, data, len);
		lease->domain[len] = '\0';
	}
	if (len < 4)
		return;
	if (code == OPT_MASK)
		memcpy(&lease->mask, data, 4);
	else if (code == OPT_ROUTER)
		memcpy(&lease->router, data, 4);
	else if (code == OPT_SERVER)
		memcpy(&lease->server, data, 4);
	else if (code == OPT_LEASE)
		lease->seconds = (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 |
				 (uint32_t)data[2] << 8 | data[3];
	for (; code == OPT_DNS && len >= 4 && lease->ndns < 3; len -= 4, data += 4)
		memcpy(&lease->dns[lease->ndns++], data, 4);
}

/* The type of an answer to us; 0: it is none. */
static uint8_t read_message(const struct message *m, size_t len, uint32_t xid, struct lease *lease)
{
	size_t size = len - offsetof(struct message, options);
	uint8_t type = 0;

	if (len < offsetof(struct message, options) || m->op != 2 || m->xid != xid ||
	    m->magic != htonl(MAGIC))
		return 0;
	*lease = (struct lease){.address = m->yiaddr};
	for (size_t at = 0; at + 1 < size && m->options[at] != OPT_END;) {
		uint8_t code = m->options[at];

		if (code == 0) {
			at++;
			continue;
		}
		if (at + 2 + m->options[at + 1] > size)
			break;
		if (code == OPT_TYPE && m->options[at + 1] == 1)
			type = m->options[at + 2];
		take_option(lease, code, m->options + at + 2, m->options[at + 1]);
		at += 2u + m->options[at + 1];
	}
	return type;
}

static bool await(long fd, uint32_t xid, uint8_t type, struct lease *lease)
{
	static struct message answer;
	int64_t end = monotonic_ms() + TRY_MS;

	for (;;) {
		struct pollfd poll = {.fd = (int)fd, .events = POLLIN};
		int64_t left = end - monotonic_ms();
		struct timespec wait = {.tv_nsec = 1000000};
		long got;

		if (left <= 0)
			return false;
		wait.tv_sec = left / 1000;
		wait.tv_nsec = (long)(left % 1000) * 1000000;
		SYS5(SYS_ppoll, &poll, 1, &wait, NULL, 0);
		got = SYS6(SYS_recvfrom, fd, &answer, sizeof(answer), MSG_DONTWAIT, NULL, NULL);
		if (got > 0 && read_message(&answer, (size_t)got, xid, lease) == type)
			return true;
	}
}

static bool exchange(long fd, const uint8_t mac[6], uint8_t type, uint8_t answer,
		     struct lease *lease)
{
	static struct message m;
	const struct sockaddr_in all = {.sin_family = AF_INET,
					.sin_port = htons(SERVER_PORT),
					.sin_addr = {.s_addr = 0xffffffffu}};
	size_t len;

	memset(&m, 0, sizeof(m));
	m.op = m.htype = 1;
	m.hlen = 6;
	m.flags = htons(0x8000); /* answer by broadcast */
	m.magic = htonl(MAGIC);
	memcpy(m.chaddr, mac, 6);
	SYS3(SYS_getrandom, &m.xid, sizeof(m.xid), 1 /* GRND_NONBLOCK */);
	len = fill_message(&m, type, lease);
	for (unsigned i = 0; i < TRIES; i++) {
		SYS6(SYS_sendto, fd, &m, len, 0, &all, sizeof(all));
		if (await(fd, m.xid, answer, lease))
			return true;
	}
	return false;
}

/* --- what a lease says --- */

static long set_address(long fd, const char *name, unsigned long what, uint32_t address)
{
	struct ifreq request = request_for(name);
	struct sockaddr_in *in = (struct sockaddr_in *)&request.ifr_addr;

	in->sin_family = AF_INET;
	in->sin_addr.s_addr = address;
	return SYS3(SYS_ioctl, fd, what, &request);
}

static void set_router(long fd, char *name, uint32_t address)
{
	struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY, .rt_dev = name};
	struct sockaddr_in *in = (struct sockaddr_in *)&route.rt_gateway;

	route.rt_dst.sa_family = route.rt_genmask.sa_family = AF_INET;
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = address;
	SYS3(SYS_ioctl, fd, SIOCADDRT, &route);
}

static void set_names(const struct lease *lease)
{
	struct text text = {.len = 0};

	if (lease->ndns == 0)
		return;
	if (lease->domain[0] != '\0') {
		text_add(&text, "search ");
		text_add(&text, lease->domain);
		text_add(&text, "\n");
	}
	for (unsigned i = 0; i < lease->ndns; i++) {
		text_add(&text, "nameserver ");
		text_add_address(&text, lease->dns[i]);
		text_add(&text, "\n");
	}
	(void)make_folders("/etc", 0755);
	(void)file_write("/etc/resolv.conf", text.data, text.len);
}

static void apply(char *name, const struct lease *lease, uint32_t before, bool first)
{
	long fd = control_socket();

	if (lease->address != before) {
		(void)set_address(fd, name, SIOCSIFADDR, lease->address);
		if (lease->mask != 0)
			(void)set_address(fd, name, SIOCSIFNETMASK, lease->mask);
	}
	if (first && lease->router != 0)
		set_router(fd, name, lease->router);
	if (first)
		set_names(lease);
	SYS1(SYS_close, fd);
}

/* --- the process of a card --- */

static long open_client(const char *name)
{
	const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(CLIENT_PORT)};
	long fd = control_socket();
	int yes = 1;

	SYS5(SYS_setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	SYS5(SYS_setsockopt, fd, SOL_SOCKET, SO_BROADCAST, &yes, sizeof(yes));
	SYS5(SYS_setsockopt, fd, SOL_SOCKET, SO_BINDTODEVICE, name, text_len(name));
	SYS3(SYS_bind, fd, &any, sizeof(any));
	return fd;
}

/* Returns how long the lease is good for, in seconds; 0: there is none. */
static uint32_t ask_once(char *name, bool first, uint32_t *address)
{
	struct ifreq request = request_for(name);
	struct lease lease = {.address = *address};
	long fd = open_client(name);
	bool got = false;

	if (SYS3(SYS_ioctl, fd, SIOCGIFHWADDR, &request) == 0) {
		const uint8_t *mac = (const uint8_t *)request.ifr_hwaddr.sa_data;

		got = exchange(fd, mac, DHCP_DISCOVER, DHCP_OFFER, &lease) &&
		      exchange(fd, mac, DHCP_REQUEST, DHCP_ACK, &lease);
	}
	SYS1(SYS_close, fd);
	if (!got || lease.address == 0)
		return 0;
	apply(name, &lease, *address, first);
	*address = lease.address;
	return lease.seconds > 2 * LEAST_S ? lease.seconds : 2 * LEAST_S;
}

static _Noreturn void keep_lease(unsigned card, uint32_t address, long ready)
{
	char name[IFNAMSIZ];

	card_name(name, card);
	for (;;) {
		uint32_t seconds = ask_once(name, card == 0, &address);

		if (seconds > 0 && ready >= 0) {
			SYS1(SYS_close, ready);
			ready = -1;
		}
		if (seconds == 0)
			sleep_ms(AGAIN_MS);
		else
			sleep_ms((seconds > 4000000 ? 4000000 : seconds) / 2 * 1000);
	}
}

static bool card_exists(unsigned card)
{
	char name[IFNAMSIZ];
	long fd = control_socket(), ret;
	struct ifreq request;

	card_name(name, card);
	request = request_for(name);
	ret = SYS3(SYS_ioctl, fd, SIOCGIFFLAGS, &request);
	SYS1(SYS_close, fd);
	return ret == 0;
}

static uint32_t card_address(unsigned card)
{
	char name[IFNAMSIZ];
	struct ifreq request;
	long fd = control_socket(), ret;

	card_name(name, card);
	request = request_for(name);
	ret = SYS3(SYS_ioctl, fd, SIOCGIFADDR, &request);
	SYS1(SYS_close, fd);
	return ret < 0 ? 0 : ((struct sockaddr_in *)&request.ifr_addr)->sin_addr.s_addr;
}

static long start_card(unsigned card, long ready)
{
	long pid;

	if (!card_exists(card))
		return 0;
	pid = fork_process();
	if (pid != 0)
		return pid;
	SYS2(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
	keep_lease(card, card_address(card), ready);
}

void net_lease(long ready)
{
	for (unsigned card = 0; card < NET_CARDS; card++) {
		processes[card] = start_card(card, ready);
		if (ready >= 0)
			SYS1(SYS_close, ready);
		ready = -1;
	}
}

static void new_mac(unsigned card, const char *text)
{
	char name[IFNAMSIZ];
	struct ifreq request;
	long fd = control_socket();

	card_name(name, card);
	request = request_for(name);
	request.ifr_hwaddr.sa_family = 1; /* Ethernet */
	for (unsigned i = 0; i < 6; i++) {
		for (unsigned j = 0; j < 2; j++, text++) {
			char c = (char)(*text | 0x20);
			int digit = c <= '9' ? c - '0' : c - 'a' + 10;

			request.ifr_hwaddr.sa_data[i] =
				(char)(request.ifr_hwaddr.sa_data[i] << 4 | (digit & 15));
		}
		text += i < 5;
	}
	(void)set_address(fd, name, SIOCSIFADDR, 0);
	(void)set_up(fd, name, false);
	SYS3(SYS_ioctl, fd, SIOCSIFHWADDR, &request);
	(void)set_up(fd, name, true);
	SYS1(SYS_close, fd);
}

void net_again(const char *macs)
{
	for (unsigned card = 0; card < NET_CARDS; card++) {
		if (processes[card] > 0)
			SYS2(SYS_kill, processes[card], SIGKILL);
	}
	for (unsigned card = 0; text_len(macs) >= 17 && card < NET_CARDS; card++) {
		new_mac(card, macs);
		macs += macs[17] == ' ' ? 18 : 17;
	}
	net_lease(-1);
}
