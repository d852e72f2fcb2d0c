/* The 16550A as a guest's driver probes and uses it, and its way through a file. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "base/num.h"
#include "tests/unit/fake_board.h"

#define COM1 0x3f8
#define IRQ  4

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR, FCR = IIR };

static struct fake_board here, there;
static char sent[64];
static size_t nsent;
static unsigned rooms;

static void output(void *opaque, const uint8_t *data, size_t len)
{
	cr_assert(eq(ptr, opaque, &here));
	for (size_t i = 0; i < len && nsent < sizeof(sent); i++)
		sent[nsent++] = (char)data[i];
}

static void room(void *opaque)
{
	(void)opaque;
	rooms++;
}

static bool open_board(void)
{
	if (!fake_board_init(&here))
		return false;
	here.board.serial->output = output;
	here.board.serial->room = room;
	here.board.serial->opaque = &here;
	return true;
}

static void teardown(void)
{
	fake_board_free(&here);
	fake_board_free(&there);
}

TestSuite(serial, .fini = teardown);

static uint8_t in(unsigned reg)
{
	return (uint8_t)fake_in(&here, (uint16_t)(COM1 + reg), 1);
}

static void out(unsigned reg, uint8_t value)
{
	fake_out(&here, (uint16_t)(COM1 + reg), value, 1);
}

static size_t type(const char *text)
{
	return here.board.serial->input(here.board.serial, (const uint8_t *)text, strlen(text));
}

/* As Linux' driver leaves a port that is in use. */
static void open_port(uint8_t ier)
{
	out(FCR, 0x01);
	out(LCR, 0x03);
	out(MCR, 0x0b);
	out(IER, ier);
}

Test(serial, probe_finds_a_16550a)
{
	if (!open_board())
		return;
	out(IER, 0);
	cr_assert(eq(u8, in(IER), 0));
	out(IER, 0xff);
	cr_assert(eq(u8, in(IER), 0x0f));
	out(IER, 0);
	out(MCR, 0x1a); /* loopback with RTS and OUT2: CTS and DCD come back */
	cr_assert(eq(u8, in(MSR)&0xf0, 0x90));
	out(MCR, 0x15); /* DTR and OUT1: DSR and RI */
	cr_assert(eq(u8, in(MSR)&0xf0, 0x60));
	out(MCR, 0x0b);
	cr_assert(eq(u8, in(MSR), 0xb0));
	out(FCR, 0x01);
	cr_assert(eq(u8, in(IIR) >> 6, 3));
	out(FCR, 0x00);
	cr_assert(eq(u8, in(IIR) >> 6, 0));
	out(SCR, 0x5a);
	cr_assert(eq(u8, in(SCR), 0x5a));
	cr_assert(eq(u8, in(LSR), 0x60));
}

Test(serial, divisor_hides_behind_dlab)
{
	if (!open_board())
		return;
	out(IER, 0x01);
	out(LCR, 0x83);
	out(DATA, 0x34);
	out(IER, 0x12);
	cr_assert(eq(u8, in(DATA), 0x34));
	cr_assert(eq(u8, in(IER), 0x12));
	cr_assert(eq(u8, in(LCR), 0x83));
	out(LCR, 0x03);
	cr_assert(eq(u8, in(IER), 0x01));
	cr_assert(eq(sz, nsent, 0));
}

Test(serial, bytes_go_out_in_order)
{
	if (!open_board())
		return;
	open_port(0);
	for (const char *c = "ready\n"; *c != '\0'; c++)
		out(DATA, (uint8_t)*c);
	cr_assert(eq(sz, nsent, 6));
	cr_assert_arr_eq(sent, "ready\n", 6);
	cr_assert(eq(u8, in(LSR), 0x60));
}

Test(serial, loopback_keeps_bytes_inside)
{
	if (!open_board())
		return;
	open_port(0);
	out(MCR, 0x1b);
	out(DATA, 'x');
	cr_assert(eq(sz, nsent, 0));
	cr_assert(eq(sz, type("host"), 0)); /* the line is cut: it waits outside */
	cr_assert(eq(u8, in(LSR), 0x61));
	cr_assert(eq(u8, in(DATA), 'x'));
	rooms = 0;
	out(MCR, 0x0b);
	cr_assert(ge(uint, rooms, 1));
	cr_assert(eq(sz, type("host"), 4));
}

Test(serial, loopback_overrun_is_told_once)
{
	if (!open_board())
		return;
	open_port(0x04);
	out(MCR, 0x1b);
	for (unsigned i = 0; i < 17; i++)
		out(DATA, (uint8_t)i);
	cr_assert(eq(u8, in(IIR), 0xc6));
	cr_assert(eq(u8, in(LSR), 0x63));
	cr_assert(eq(u8, in(LSR), 0x61));
	cr_assert(eq(u8, in(IIR), 0xc1));
	for (unsigned i = 0; i < 16; i++)
		cr_assert(eq(u8, in(DATA), (uint8_t)i));
	cr_assert(eq(u8, in(LSR), 0x60));
}

Test(serial, enabling_the_transmitter_interrupt_raises_it)
{
	if (!open_board())
		return;
	open_port(0);
	cr_assert_not(fake_edge(&here, IRQ, false));
	out(IER, 0x02);
	cr_assert(fake_edge(&here, IRQ, true));
	cr_assert(eq(u8, in(IIR), 0xc2));
	cr_assert(eq(u8, in(IIR), 0xc1)); /* reading it took it */
	/* Linux' test for the THRE bug: off and on again must raise it again. */
	out(IER, 0x00);
	out(IER, 0x02);
	cr_assert(fake_edge(&here, IRQ, true));
	cr_assert(eq(u8, in(IIR), 0xc2));
}

Test(serial, each_transmission_ends_with_an_interrupt)
{
	if (!open_board())
		return;
	open_port(0x02);
	cr_assert(fake_edge(&here, IRQ, true));
	for (unsigned i = 0; i < 3; i++) {
		out(DATA, 'a');
		cr_assert(fake_edge(&here, IRQ, true), "byte %u", i);
		cr_assert(eq(u8, in(IIR), 0xc2));
		cr_assert(eq(u8, in(IIR), 0xc1));
	}
}

Test(serial, no_interrupt_without_out2)
{
	if (!open_board())
		return;
	open_port(0);
	out(MCR, 0x03);
	out(IER, 0x02);
	cr_assert(eq(u8, in(IIR), 0xc2));
	out(IER, 0x00);
	out(IER, 0x02);
	cr_assert_not(fake_edge(&here, IRQ, false));
	out(MCR, 0x0b);
	cr_assert(fake_edge(&here, IRQ, true));
}

Test(serial, typing_interrupts_and_comes_in_order)
{
	if (!open_board())
		return;
	open_port(0x01);
	cr_assert(eq(sz, type("ab"), 2));
	cr_assert(fake_edge(&here, IRQ, true));
	cr_assert(eq(u8, in(IIR), 0xcc)); /* below the trigger level: the timeout tells */
	cr_assert(eq(u8, in(LSR), 0x61));
	cr_assert(eq(u8, in(DATA), 'a'));
	cr_assert(eq(u8, in(IIR), 0xcc));
	cr_assert(eq(u8, in(DATA), 'b'));
	cr_assert(eq(u8, in(IIR), 0xc1));
	cr_assert(eq(u8, in(LSR), 0x60));
	cr_assert(eq(u8, in(DATA), 0));
	cr_assert(eq(sz, type("c"), 1));
	cr_assert(fake_edge(&here, IRQ, true));
}

/* A guest that lost the first edge, or masked it, gets another with the next byte. */
Test(serial, typing_on_interrupts_again)
{
	if (!open_board())
		return;
	open_port(0x01);
	type("a");
	cr_assert(fake_edge(&here, IRQ, true));
	cr_assert_not(fake_edge(&here, IRQ, false));
	type("b");
	cr_assert(fake_edge(&here, IRQ, true));
}

Test(serial, reception_comes_before_transmission)
{
	if (!open_board())
		return;
	open_port(0x03);
	type("z");
	cr_assert(eq(u8, in(IIR), 0xcc));
	cr_assert(eq(u8, in(DATA), 'z'));
	cr_assert(eq(u8, in(IIR), 0xc2));
	cr_assert(eq(u8, in(IIR), 0xc1));
}

/* As Linux reads it: LSR tells that the NUL behind it is none, and a key that follows is one. */
Test(serial, a_break_is_received_in_its_place)
{
	struct chardev *c;

	if (!open_board())
		return;
	c = here.board.serial;
	open_port(0x05);
	type("a");
	cr_assert_not(c->send_break(c), "not before what was typed");
	cr_assert(fake_edge(&here, IRQ, true));
	cr_assert(eq(u8, in(LSR), 0x61));
	rooms = 0;
	cr_assert(eq(u8, in(DATA), 'a'));
	cr_assert(eq(uint, rooms, 1), "then it is offered again");
	cr_assert(c->send_break(c));
	cr_assert(fake_edge(&here, IRQ, true));
	cr_assert(eq(sz, type("h"), 1));
	cr_assert(eq(u8, in(IIR), 0xc6));
	cr_assert(eq(u8, in(LSR), 0x71));
	cr_assert(eq(u8, in(DATA), 0));
	cr_assert(eq(u8, in(LSR), 0x61));
	cr_assert(eq(u8, in(DATA), 'h'));
	cr_assert(eq(u8, in(LSR), 0x60));
}

Test(serial, resumes_with_a_break)
{
	struct err err;

	if (!open_board() || !fake_board_init(&there))
		return;
	open_port(0x04);
	cr_assert(here.board.serial->send_break(here.board.serial));
	cr_assert(eq(int, fake_board_move(&here, &there, "serial0", NULL, &err), 0), "%s",
		  err.text);
	cr_assert(fake_edge(&there, IRQ, true));
	cr_assert(eq(u8, (uint8_t)fake_in(&there, COM1 + LSR, 1), 0x71));
	cr_assert(eq(u8, (uint8_t)fake_in(&there, COM1 + DATA, 1), 0));
}

Test(serial, what_does_not_fit_waits_for_room)
{
	if (!open_board())
		return;
	open_port(0x01);
	cr_assert(eq(sz, type("0123456789abcdefXYZ"), 16));
	cr_assert(eq(sz, type("XYZ"), 0));
	rooms = 0;
	for (unsigned i = 0; i < 15; i++)
		in(DATA);
	cr_assert(eq(uint, rooms, 0));
	cr_assert(eq(u8, in(DATA), 'f'));
	cr_assert(eq(uint, rooms, 1));
	cr_assert(eq(sz, type("XYZ"), 3));
}

Test(serial, clearing_the_fifo_makes_room)
{
	if (!open_board())
		return;
	open_port(0x01);
	type("0123456789abcdef");
	rooms = 0;
	out(FCR, 0x03);
	cr_assert(ge(uint, rooms, 1));
	cr_assert(eq(u8, in(LSR), 0x60));
	cr_assert(eq(sz, type("new"), 3));
	cr_assert(eq(u8, in(DATA), 'n'));
}

Test(serial, read_only_registers_stay)
{
	if (!open_board())
		return;
	open_port(0);
	out(LSR, 0xff);
	out(MSR, 0xff);
	cr_assert(eq(u8, in(LSR), 0x60));
	cr_assert(eq(u8, in(MSR), 0xb0));
}

Test(serial, wakes_with_a_transmission_in_flight)
{
	struct err err = {0};

	if (!open_board() || !fake_board_init(&there))
		return;
	open_port(0x02);
	fake_edge(&here, IRQ, true);
	in(IIR);
	out(DATA, 'q'); /* its interrupt is raised but not served when the machine stops */
	cr_assert(eq(int, fake_board_move(&here, &there, "serial0", NULL, &err), 0), "%s",
		  err.text);
	cr_assert(fake_edge(&there, IRQ, true));
	cr_assert(eq(u8, (uint8_t)fake_in(&there, COM1 + IIR, 1), 0xc2));
}

Test(serial, wakes_with_typed_bytes)
{
	struct err err = {0};

	if (!open_board() || !fake_board_init(&there))
		return;
	open_port(0x01);
	type("hi");
	cr_assert(eq(int, fake_board_move(&here, &there, "serial0", NULL, &err), 0), "%s",
		  err.text);
	cr_assert(fake_edge(&there, IRQ, true));
	cr_assert(eq(u8, (uint8_t)fake_in(&there, COM1 + DATA, 1), 'h'));
	cr_assert(eq(u8, (uint8_t)fake_in(&there, COM1 + DATA, 1), 'i'));
	cr_assert(eq(u8, (uint8_t)fake_in(&there, COM1 + LSR, 1), 0x60));
}

Test(serial, reset_forgets_everything)
{
	struct device *dev;

	if (!open_board())
		return;
	open_port(0x03);
	out(SCR, 7);
	type("xyz");
	dev = machine_device(&here.m, "serial0");
	dev->ops->reset(dev);
	cr_assert(eq(u8, in(LSR), 0x60));
	cr_assert(eq(u8, in(IER), 0));
	cr_assert(eq(u8, in(IIR), 0x01));
	cr_assert(eq(u8, in(MCR), 0));
	cr_assert(eq(u8, in(SCR), 0));
}

/* The first bytes of the state are the registers in the table's order. */
static void spoil_ier(void *const staged[])
{
	((uint8_t *)staged[0])[0] = 0x10;
}

static void spoil_lsr(void *const staged[])
{
	((uint8_t *)staged[0])[4] = 0x01;
}

static void spoil_tx(void *const staged[])
{
	((uint8_t *)staged[0])[8] = 2;
}

Test(serial, refuses_registers_that_cannot_be)
{
	void (*const spoil[])(void *const staged[]) = {spoil_ier, spoil_lsr, spoil_tx};

	if (!open_board() || !fake_board_init(&there))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(spoil); i++) {
		struct err err = {0};

		cr_assert(lt(int, fake_board_move(&here, &there, "serial0", spoil[i], &err), 0),
			  "%zu", i);
		cr_assert(eq(int, err.kind, ERR_INTEGRITY));
	}
}
