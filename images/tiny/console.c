/* virtio-console (virtio 1.2 §5.3), port 0 only. With multiport, the control queue is answered on
 * the way. */
#include "images/tiny/tiny.h"

enum { RX, TX, CONTROL_RX, CONTROL_TX };
enum { DEVICE_READY = 0, PORT_ADD = 1, PORT_READY = 3, PORT_OPEN = 6 };
enum { BUFFER = 64 };
#define F_MULTIPORT (1ull << 1)

struct control {
	uint32_t id;
	uint16_t event, value;
};

static struct vdev dev;
static char input[QUEUE_LEN][BUFFER];
static char control[QUEUE_LEN][BUFFER]; /* a message may carry a name behind the header */
static bool open;			/* port 0 may be used */
/* The input buffer being read. */
static uint32_t current, current_len, current_pos;

static void post(uint32_t queue, char buffers[][BUFFER], uint32_t i)
{
	struct queue *q = &dev.queue[queue];

	q->desc[i] = (struct desc){(uint64_t)buffers[i], BUFFER, DESC_WRITE, 0};
	queue_post(q, (uint16_t)i);
}

static void control_send(uint32_t id, uint16_t event, uint16_t value)
{
	static struct control message;
	struct seg s = {(uint64_t)&message, sizeof(message), false};

	message = (struct control){id, event, value};
	queue_request(&dev.queue[CONTROL_TX], &s, 1);
}

static void control_poll(void)
{
	uint32_t i, len;

	while (queue_take(&dev.queue[CONTROL_RX], &i, &len)) {
		const struct control *c = (const struct control *)control[i % QUEUE_LEN];

		if (c->event == PORT_ADD && c->id == 0) {
			control_send(0, PORT_READY, 1);
			control_send(0, PORT_OPEN, 1);
			open = true;
		}
		post(CONTROL_RX, control, i % QUEUE_LEN);
	}
}

static bool start_queues(void)
{
	uint32_t n = dev.features & F_MULTIPORT ? 4 : 2;

	for (uint32_t i = 0; i < n; i++) {
		if (!virtio_queue(&dev, i))
			return false;
	}
	virtio_start(&dev);
	for (uint32_t i = 0; i < QUEUE_LEN; i++)
		post(RX, input, i);
	return true;
}

static void start_multiport(void)
{
	struct spin wait = {0};

	for (uint32_t i = 0; i < QUEUE_LEN; i++)
		post(CONTROL_RX, control, i);
	control_send(0, DEVICE_READY, 1);
	while (!open && spin(&wait))
		control_poll();
}

void console_probe(uint64_t base)
{
	if (dev.base)
		return;
	dev.base = base;
	if (!virtio_negotiate(&dev, F_MULTIPORT | F_INDIRECT) || !start_queues())
		dev.base = 0;
	else if (dev.features & F_MULTIPORT)
		start_multiport();
	else
		open = true;
}

bool console_present(void)
{
	return open;
}

bool console_write(const char *s, size_t n)
{
	struct seg seg = {(uint64_t)s, (uint32_t)n, false};

	return open && queue_request(&dev.queue[TX], &seg, 1) >= 0;
}

int console_getc(void)
{
	int c;

	if (!dev.base)
		return -1;
	if (dev.features & F_MULTIPORT)
		control_poll();
	if (current_pos == current_len) {
		if (!queue_take(&dev.queue[RX], &current, &current_len))
			return -1;
		current %= QUEUE_LEN;
		current_pos = 0;
		if (current_len > BUFFER)
			current_len = BUFFER;
	}
	c = current_pos < current_len ? (unsigned char)input[current][current_pos++] : -1;
	if (current_pos == current_len) {
		current_pos = current_len = 0;
		post(RX, input, current);
	}
	return c;
}

void cmd_hvc(const char *args)
{
	static char line[256];
	size_t n = 0;

	while (args[n] && n < sizeof(line) - 1) {
		line[n] = args[n];
		n++;
	}
	line[n++] = '\n';
	say(console_write(line, n) ? "hvc ok" : "error console");
}
