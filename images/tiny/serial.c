/* 16550, polled. Every access is an exit to the VMM, so they are few. */
#include "images/tiny/tiny.h"

enum { DATA = 0, FCR = 2, LSR = 5 };
enum { LSR_DATA_READY = 0x01, LSR_BREAK = 0x10, LSR_THR_EMPTY = 0x20 };
enum { FIFO_ENABLE = 0x01, FIFO_LEN = 16 };

static bool broken; /* a break was seen, and its NUL is not read yet */

/* Reading the register clears its break (data sheet, "Line Status Register"). */
static uint8_t line_status(void)
{
	uint8_t lsr = uart_in(LSR);

	broken = broken || (lsr & LSR_BREAK);
	return lsr;
}

void serial_init(void)
{
	uart_out(FCR, FIFO_ENABLE);
}

/* One FIFO's worth a poll. */
void serial_write(const char *s, size_t n)
{
	while (n) {
		size_t part = n < FIFO_LEN ? n : FIFO_LEN;
		struct spin wait = {0};

		while (!(line_status() & LSR_THR_EMPTY) && spin(&wait))
			;
		uart_send(s, part);
		s += part;
		n -= part;
	}
}

int serial_getc(void)
{
	uint8_t lsr = line_status();

	if (broken) {
		broken = false;
		(void)uart_in(DATA);
		say("break");
		return -1;
	}
	return lsr & LSR_DATA_READY ? uart_in(DATA) : -1;
}

void serial_bench(void)
{
	uint64_t writes = 0;

	do {
		for (int i = 0; i < 64; i++)
			uart_out(DATA, '.');
		writes += 64;
	} while (!(line_status() & LSR_DATA_READY));
	serial_write("\n", 1);
	say("bench %u", writes);
}
