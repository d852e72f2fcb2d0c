/* virtio-vsock (virtio 1.2 §5.10): packets one by one, put together by hand. */
#include "images/tiny/tiny.h"

enum { RX, TX, EVENT };
enum { OP_RW = 5, TEXT = 200 };

struct packet {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port, len;
	uint16_t type, op;
	uint32_t flags, buf_alloc, fwd_cnt;
	char text[TEXT];
} __attribute__((packed));

enum { HEADER = 44, HOST = 2, STREAM = 1, BOTH = 3 };

static struct vdev vsock;
static struct packet received[QUEUE_LEN], sent;
static uint32_t event[QUEUE_LEN];

static void give(uint32_t queue, uint32_t i, void *at, uint32_t len)
{
	struct queue *q = &vsock.queue[queue];

	q->desc[i] = (struct desc){(uint64_t)at, len, DESC_WRITE, 0};
	queue_post(q, (uint16_t)i);
}

void vsock_probe(uint64_t base)
{
	vsock.base = base;
	if (!virtio_negotiate(&vsock, 0) || !virtio_queue(&vsock, RX) ||
	    !virtio_queue(&vsock, TX) || !virtio_queue(&vsock, EVENT)) {
		vsock.base = 0;
		return;
	}
	virtio_start(&vsock);
	for (uint32_t i = 0; i < QUEUE_LEN; i++) {
		give(RX, i, &received[i], sizeof(received[i]) - 1); /* a text has an end */
		give(EVENT, i, &event[i], sizeof(event[i]));
	}
}

void cmd_vsock(const char *args)
{
	(void)args;
	if (vsock.base)
		say("vsock %u", virtio_config64(&vsock, 0));
	else
		say("error vsock");
}

/* OP PORT HOSTPORT [TEXT] */
void cmd_vsay(const char *args)
{
	struct seg s = {(uint64_t)&sent, HEADER, false};
	uint64_t v[3];

	for (int i = 0; i < 3; i++) {
		while (*args == ' ')
			args++;
		if (!str_number(&args, &v[i])) {
			say("error arguments");
			return;
		}
	}
	sent = (struct packet){.src_cid = virtio_config64(&vsock, 0),
			       .dst_cid = HOST,
			       .src_port = (uint32_t)v[1],
			       .dst_port = (uint32_t)v[2],
			       .type = STREAM,
			       .op = (uint16_t)v[0],
			       .flags = BOTH,
			       .buf_alloc = 65536};
	while (*args == ' ')
		args++;
	while (sent.len < TEXT && *args)
		sent.text[sent.len++] = *args++;
	s.len += sent.len;
	say(vsock.base && queue_request(&vsock.queue[TX], &s, 1) >= 0 ? "vsay ok" : "error vsock");
}

/* The next packet of the host. */
void cmd_vhear(const char *args)
{
	struct spin wait = {0};
	struct packet *p;
	uint32_t i, len;

	(void)args;
	while (vsock.base && !queue_take(&vsock.queue[RX], &i, &len)) {
		if (!spin(&wait)) {
			say("vhear nothing");
			return;
		}
	}
	if (!vsock.base) {
		say("error vsock");
		return;
	}
	p = &received[i % QUEUE_LEN];
	p->text[len > HEADER ? len - HEADER : 0] = 0;
	for (char *c = p->text; *c; c++)
		*c = *c == '\n' ? '|' : *c;
	say("vhear %u %u %u%s%s", (uint64_t)p->op, (uint64_t)p->dst_port, (uint64_t)p->src_port,
	    p->text[0] ? " " : "", p->text);
	give(RX, i % QUEUE_LEN, p, sizeof(*p) - 1);
}

/* The next event. */
void cmd_vevent(const char *args)
{
	uint32_t i, len;

	(void)args;
	if (!vsock.base || !queue_take(&vsock.queue[EVENT], &i, &len)) {
		say("vevent none");
		return;
	}
	say("vevent %u", (uint64_t)event[i % QUEUE_LEN]);
	give(EVENT, i % QUEUE_LEN, &event[i % QUEUE_LEN], sizeof(event[0]));
}
