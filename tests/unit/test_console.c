/* virtio-console: data, control messages and named ports (virtio 1.2 §5.3). */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <linux/virtio_console.h>
#include <string.h>

#include "base/num.h"
#include "tests/unit/fake_driver.h"

#define MULTIPORT  VIRTIO_FEATURE(VIRTIO_CONSOLE_F_MULTIPORT)
#define QUEUES	   6 /* two ports and the control channel */
#define CONTROL_RX 2
#define CONTROL_TX 3
#define AGENT_RX   4
#define AGENT_TX   5
#define BUFFER	   256u

static const char *const ports[] = {"org.qemu.guest_agent.0"};
static const struct virtio_backend backend = {.ports = ports, .nports = 1};

static struct fake fake;

/* The host's side of a port: what came out, and how often there was room. */
struct outlet {
	char text[512];
	size_t len;
	unsigned rooms;
	unsigned opened, closed;
};

static struct outlet outlet[2];

static void take_output(void *opaque, const uint8_t *data, size_t len)
{
	struct outlet *o = opaque;

	cr_assert(le(sz, o->len + len, sizeof(o->text) - 1));
	memcpy(o->text + o->len, data, len);
	o->len += len;
	o->text[o->len] = '\0';
}

static void take_room(void *opaque)
{
	struct outlet *o = opaque;

	o->rooms++;
}

static void take_opened(void *opaque, bool open)
{
	struct outlet *o = opaque;

	if (open)
		o->opened++;
	else
		o->closed++;
}

static void plug(struct fake *f)
{
	fake_init(f);
	fake_plug(f, VIRTIO_TYPE_CONSOLE, "console", &backend);
	for (unsigned i = 0; i < 2; i++) {
		struct chardev *c = virtio_console_port(&f->v->dev, i);

		c->output = take_output;
		c->room = take_room;
		c->opened = take_opened;
		c->opaque = &outlet[i];
	}
}

static void setup(void)
{
	memset(outlet, 0, sizeof(outlet));
	plug(&fake);
}

static void teardown(void)
{
	fake_free(&fake);
}

TestSuite(console, .init = setup, .fini = teardown);

static uint64_t buffer_of(unsigned queue, unsigned index)
{
	return FAKE_BUFFERS + queue * 0x8000u + index * BUFFER;
}

/* Give the device `n` buffers to fill. */
static void give_buffers(struct fake *f, unsigned queue, unsigned n, uint32_t len)
{
	for (unsigned i = 0; i < n; i++) {
		struct fake_seg seg = {buffer_of(queue, f->q[queue].next_desc % 16), len, true};

		fake_post(f, queue, &seg, 1);
	}
	fake_kick(f, queue);
}

static void guest_writes(struct fake *f, unsigned queue, const void *data, uint32_t len)
{
	struct fake_seg seg = {buffer_of(queue, 20), len, false};
	uint32_t id, used;

	memcpy(fake_ram(f, seg.addr, len), data, len);
	fake_post(f, queue, &seg, 1);
	fake_kick(f, queue);
	cr_assert(fake_used(f, queue, &id, &used));
}

static size_t host_writes(struct fake *f, unsigned port, const char *text)
{
	struct chardev *c = virtio_console_port(&f->v->dev, port);

	return c->input(c, (const uint8_t *)text, strlen(text));
}

static void send_control(struct fake *f, uint32_t id, uint16_t event, uint16_t value)
{
	struct virtio_console_control c = {htole32(id), htole16(event), htole16(value)};

	guest_writes(f, CONTROL_TX, &c, sizeof(c));
}

/* The next message must be (id, event, 1), with `name` behind it when given. */
static void expect_control(struct fake *f, uint32_t id, uint16_t event, const char *name)
{
	struct virtio_console_control c;
	size_t extra = name != NULL ? strlen(name) : 0;
	uint32_t desc, len;
	const char *at;

	cr_assert(fake_used(f, CONTROL_RX, &desc, &len), "message %u about port %u", event, id);
	cr_assert(eq(u32, len, (uint32_t)(sizeof(c) + extra)));
	at = fake_ram(f, buffer_of(CONTROL_RX, desc), BUFFER);
	memcpy(&c, at, sizeof(c));
	cr_assert(eq(u32, le32toh(c.id), id));
	cr_assert(eq(u16, le16toh(c.event), event));
	cr_assert(eq(u16, le16toh(c.value), 1));
	cr_assert(eq(int, memcmp(at + sizeof(c), name != NULL ? name : "", extra), 0));
}

static void expect_silence(struct fake *f)
{
	uint32_t id, len;

	cr_assert(not(fake_used(f, CONTROL_RX, &id, &len)));
}

/* Multiport, up to both ports opened by the guest. */
static void bring_up_ports(void)
{
	fake_bring_up(&fake, MULTIPORT, QUEUES, 32);
	give_buffers(&fake, CONTROL_RX, 16, BUFFER);
	send_control(&fake, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	expect_control(&fake, 0, VIRTIO_CONSOLE_PORT_ADD, NULL);
	expect_control(&fake, 1, VIRTIO_CONSOLE_PORT_ADD, NULL);
	for (uint32_t i = 0; i < 2; i++)
		send_control(&fake, i, VIRTIO_CONSOLE_PORT_READY, 1);
	expect_control(&fake, 0, VIRTIO_CONSOLE_CONSOLE_PORT, NULL);
	expect_control(&fake, 0, VIRTIO_CONSOLE_PORT_OPEN, NULL);
	expect_control(&fake, 1, VIRTIO_CONSOLE_PORT_NAME, ports[0]);
	expect_control(&fake, 1, VIRTIO_CONSOLE_PORT_OPEN, NULL);
	expect_silence(&fake);
	for (uint32_t i = 0; i < 2; i++)
		send_control(&fake, i, VIRTIO_CONSOLE_PORT_OPEN, 1);
}

Test(console, configuration)
{
	cr_assert(eq(
		u32,
		fake_read(&fake, R_CONFIG + offsetof(struct virtio_console_config, max_nr_ports)),
		2));
}

Test(console, plain_output_and_input)
{
	uint32_t id, len;

	fake_bring_up(&fake, 0, 2, 32);
	guest_writes(&fake, 1, "hello", 5);
	cr_assert(eq(str, outlet[0].text, (char[]){"hello"}));
	cr_assert(eq(sz, host_writes(&fake, 0, "no room"), 0));
	give_buffers(&fake, 0, 2, 4);
	cr_assert(ge(uint, outlet[0].rooms, 1));
	cr_assert(eq(sz, host_writes(&fake, 0, "0123456789"), 8));
	cr_assert(fake_used(&fake, 0, &id, &len));
	cr_assert(eq(u32, len, 4));
	cr_assert(fake_used(&fake, 0, &id, &len));
	cr_assert(eq(int, memcmp(fake_ram(&fake, buffer_of(0, id), 4), "4567", 4), 0));
	/* Without multiport there is no second port. */
	cr_assert(eq(sz, host_writes(&fake, 1, "x"), 0));
}

Test(console, output_without_a_listener_is_dropped)
{
	fake_bring_up(&fake, 0, 2, 32);
	virtio_console_port(&fake.v->dev, 0)->output = NULL;
	guest_writes(&fake, 1, "hello", 5);
	cr_assert(eq(u32, fake_read(&fake, R_STATUS) & VIRTIO_NEEDS_RESET, 0));
}

Test(console, ports_introduce_themselves)
{
	bring_up_ports();
}

Test(console, named_port_carries_data)
{
	uint32_t id, len;

	bring_up_ports();
	guest_writes(&fake, AGENT_TX, "{}", 2);
	cr_assert(eq(str, outlet[1].text, (char[]){"{}"}));
	cr_assert(eq(sz, outlet[0].len, 0));
	give_buffers(&fake, AGENT_RX, 1, BUFFER);
	cr_assert(eq(sz, host_writes(&fake, 1, "ping"), 4));
	cr_assert(fake_used(&fake, AGENT_RX, &id, &len));
	cr_assert(eq(u32, len, 4));
}

Test(console, a_closed_port_takes_no_input)
{
	bring_up_ports();
	give_buffers(&fake, AGENT_RX, 2, BUFFER);
	send_control(&fake, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	cr_assert(eq(sz, host_writes(&fake, 1, "ping"), 0));
	send_control(&fake, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	cr_assert(ge(uint, outlet[1].rooms, 1));
	cr_assert(eq(sz, host_writes(&fake, 1, "ping"), 4));
}

Test(console, the_host_hears_of_open_and_close)
{
	struct chardev *c = virtio_console_port(&fake.v->dev, 1);
	struct fake other;
	struct err err;

	cr_assert_not(c->is_open(c));
	bring_up_ports();
	cr_assert(c->is_open(c));
	send_control(&fake, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	cr_assert(eq(uint, outlet[1].opened, 1), "it was open");
	send_control(&fake, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	cr_assert_not(c->is_open(c));
	cr_assert(eq(uint, outlet[1].closed, 1));
	send_control(&fake, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	/* Who wakes it up looks. */
	plug(&other);
	cr_assert(eq(int, fake_move(&fake, &other, &err), 0));
	cr_assert(eq(uint, outlet[1].opened, 2));
	c = virtio_console_port(&other.v->dev, 1);
	cr_assert(c->is_open(c));
	fake_write(&other, R_STATUS, 0);
	cr_assert_not(c->is_open(c));
	cr_assert(eq(uint, outlet[1].closed, 2));
	fake_free(&other);
}

Test(console, messages_wait_for_buffers)
{
	fake_bring_up(&fake, MULTIPORT, QUEUES, 32);
	send_control(&fake, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	send_control(&fake, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	/* Said twice, told once: the backlog cannot grow. */
	send_control(&fake, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	expect_silence(&fake);
	give_buffers(&fake, CONTROL_RX, 1, BUFFER);
	expect_control(&fake, 0, VIRTIO_CONSOLE_PORT_ADD, NULL);
	expect_silence(&fake);
	give_buffers(&fake, CONTROL_RX, 8, BUFFER);
	expect_control(&fake, 0, VIRTIO_CONSOLE_CONSOLE_PORT, NULL);
	expect_control(&fake, 0, VIRTIO_CONSOLE_PORT_OPEN, NULL);
	expect_control(&fake, 1, VIRTIO_CONSOLE_PORT_ADD, NULL);
	expect_silence(&fake);
}

Test(console, a_control_buffer_that_is_too_small)
{
	fake_bring_up(&fake, MULTIPORT, QUEUES, 32);
	give_buffers(&fake, CONTROL_RX, 4, 7);
	send_control(&fake, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	cr_assert(not(zero(u32, fake_read(&fake, R_STATUS) & VIRTIO_NEEDS_RESET)));
}

Test(console, nonsense_on_the_control_queue)
{
	bring_up_ports();
	send_control(&fake, 2, VIRTIO_CONSOLE_PORT_OPEN, 1);
	send_control(&fake, UINT32_MAX, VIRTIO_CONSOLE_PORT_READY, 1);
	send_control(&fake, 0, 999, 1);
	guest_writes(&fake, CONTROL_TX, "abc", 3);
	expect_silence(&fake);
	cr_assert(eq(u32, fake_read(&fake, R_STATUS) & VIRTIO_NEEDS_RESET, 0));
	cr_assert(eq(uint, fake_log_lines(&fake), 2));
}

Test(console, emergency_write_before_the_driver_is_there)
{
	fake_write(&fake, R_CONFIG + offsetof(struct virtio_console_config, emerg_wr), '!');
	cr_assert(eq(str, outlet[0].text, (char[]){"!"}));
	fake_write(&fake, R_CONFIG, 0x12345678);
	fake_write(&fake, R_CONFIG + 0x20, '?');
	cr_assert(eq(sz, outlet[0].len, 1));
}

Test(console, reset_closes_the_ports)
{
	bring_up_ports();
	fake_bring_up(&fake, MULTIPORT, QUEUES, 32);
	give_buffers(&fake, AGENT_RX, 2, BUFFER);
	give_buffers(&fake, CONTROL_RX, 2, BUFFER);
	cr_assert(eq(sz, host_writes(&fake, 1, "ping"), 0));
	expect_silence(&fake);
}

Test(console, quiet_while_paused)
{
	struct device *dev = &fake.v->dev;

	bring_up_ports();
	give_buffers(&fake, 0, 4, BUFFER);
	dev->ops->quiesce(dev);
	cr_assert(eq(sz, host_writes(&fake, 0, "typed while paused"), 0));
	outlet[0].rooms = 0;
	dev->ops->start(dev);
	cr_assert(ge(uint, outlet[0].rooms, 1));
	cr_assert(eq(sz, host_writes(&fake, 0, "typed"), 5));
}

/* Half introduced, with messages waiting and output in the ring. */
Test(console, moves_in_mid_conversation)
{
	struct fake_seg seg = {buffer_of(1, 20), 3, false};
	struct fake other;
	struct err err;
	uint32_t id, len;

	fake_bring_up(&fake, MULTIPORT, QUEUES, 32);
	send_control(&fake, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	send_control(&fake, 0, VIRTIO_CONSOLE_PORT_OPEN, 1);
	fake.v->dev.ops->quiesce(&fake.v->dev);
	memcpy(fake_ram(&fake, seg.addr, 3), "out", 3);
	fake_post(&fake, 1, &seg, 1);
	fake_kick(&fake, 1);
	cr_assert(eq(sz, outlet[0].len, 0));
	plug(&other);
	cr_assert(eq(int, fake_move(&fake, &other, &err), 0), "%s", err.text);
	cr_assert(eq(str, outlet[0].text, (char[]){"out"}));
	cr_assert(fake_used(&other, 1, &id, &len));
	give_buffers(&other, CONTROL_RX, 4, BUFFER);
	expect_control(&other, 0, VIRTIO_CONSOLE_PORT_ADD, NULL);
	expect_control(&other, 1, VIRTIO_CONSOLE_PORT_ADD, NULL);
	give_buffers(&other, 0, 1, BUFFER);
	cr_assert(eq(sz, host_writes(&other, 0, "in"), 2), "port 0 is still open");
	fake_free(&other);
}

Test(console, does_not_wake_with_other_ports)
{
	const struct virtio_backend none = {0};
	struct fake other;
	struct err err;

	bring_up_ports();
	fake_init(&other);
	fake_plug(&other, VIRTIO_TYPE_CONSOLE, "console", &none);
	cr_assert(lt(int, fake_move(&fake, &other, &err), 0));
	cr_assert(eq(int, err.kind, ERR_INCOMPATIBLE));
	fake_free(&other);
}
