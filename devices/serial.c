/*
 * 16550A UART (National Semiconductor PC16550D data sheet), as Linux' 8250 driver probes and uses
 * it.
 *
 * Transmission takes no time: a byte written to THR is on its way at once, so LSR always says
 * empty; what remains of the transmitter is its interrupt. Reception is a FIFO of 16 that the host
 * fills as there is room. Runs with the machine lock held.
 */
#include "devices/serial.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

#define FIFO_SIZE 16u

/* Register offsets; DLAB of LCR turns the first two into the divisor. */
enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR, REG_COUNT };

#define IER_RX	     0x01u
#define IER_TX	     0x02u
#define IER_LINE     0x04u
#define IER_MASK     0x0fu
#define IIR_NONE     0x01u
#define IIR_TX	     0x02u
#define IIR_RX	     0x04u
#define IIR_LINE     0x06u
#define IIR_TIMEOUT  0x0cu
#define IIR_FIFO_ON  0xc0u
#define FCR_ENABLE   0x01u
#define FCR_CLEAR_RX 0x02u
#define LCR_DLAB     0x80u
#define MCR_OUT2     0x08u
#define MCR_LOOP     0x10u
#define MCR_MASK     0x1fu
#define LSR_DATA     0x01u
#define LSR_OVERRUN  0x02u
#define LSR_BREAK    0x10u
#define LSR_ERRORS   (LSR_OVERRUN | LSR_BREAK)
#define LSR_IDLE     0x60u /* THR and transmitter empty */
#define MSR_READY    0xb0u /* carrier, DSR, CTS: the other side is there */

struct serial_state {
	uint8_t ier;
	uint8_t fcr;
	uint8_t lcr;
	uint8_t mcr;
	uint8_t lsr; /* the error bits only */
	uint8_t scr;
	uint8_t dll;
	uint8_t dlm;
	uint8_t tx_pending; /* THRE interrupt not yet taken */
	uint8_t padding[3];
	uint32_t count; /* bytes in the FIFO, oldest first */
	uint8_t fifo[FIFO_SIZE];
};

static const struct state_field serial_fields[] = {
	STATE_SCALAR(struct serial_state, ier, 1, 1, STATE_HEX),
	STATE_SCALAR(struct serial_state, fcr, 2, 1, STATE_HEX),
	STATE_SCALAR(struct serial_state, lcr, 3, 1, STATE_HEX),
	STATE_SCALAR(struct serial_state, mcr, 4, 1, STATE_HEX),
	STATE_SCALAR(struct serial_state, lsr, 5, 1, STATE_HEX),
	STATE_SCALAR(struct serial_state, scr, 6, 1, STATE_HEX),
	STATE_SCALAR(struct serial_state, dll, 7, 1, 0),
	STATE_SCALAR(struct serial_state, dlm, 8, 1, 0),
	STATE_SCALAR(struct serial_state, tx_pending, 9, 1, 0),
	STATE_PAD(struct serial_state, padding),
	STATE_SCALAR(struct serial_state, count, 10, 1, 0),
	STATE_VARRAY(struct serial_state, fifo, count, 11, 1, 0),
};
static const struct state_table serial_table =
	STATE_TABLE("serial", 1, struct serial_state, serial_fields);

struct serial {
	struct device dev;
	struct chardev chardev;
	struct serial_state s;
	struct irq irq;
	bool line; /* the level the interrupt output would have */
};

static uint8_t interrupt_id(const struct serial *serial)
{
	const struct serial_state *s = &serial->s;

	if ((s->ier & IER_LINE) && (s->lsr & LSR_ERRORS))
		return IIR_LINE;
	if ((s->ier & IER_RX) && s->count > 0)
		return s->fcr & FCR_ENABLE ? IIR_TIMEOUT : IIR_RX;
	if ((s->ier & IER_TX) && s->tx_pending)
		return IIR_TX;
	return IIR_NONE;
}

/* Edges of the line count. OUT2 gates it on a PC, loopback cuts it off. */
static void update_irq(struct serial *serial)
{
	bool level = interrupt_id(serial) != IIR_NONE && !(serial->s.mcr & MCR_LOOP) &&
		     (serial->s.mcr & MCR_OUT2);

	if (level && !serial->line)
		irq_pulse(&serial->irq);
	serial->line = level;
}

static void fifo_push(struct serial *serial, uint8_t byte)
{
	struct serial_state *s = &serial->s;

	if (s->count == FIFO_SIZE)
		s->lsr |= LSR_OVERRUN;
	else
		s->fifo[s->count++] = byte;
}

static uint8_t fifo_pop(struct serial *serial)
{
	struct serial_state *s = &serial->s;
	uint8_t byte;

	if (s->count == 0)
		return 0;
	byte = s->fifo[0];
	memmove(s->fifo, s->fifo + 1, --s->count);
	s->fifo[s->count] = 0;
	return byte;
}

/* Tell the host when the FIFO has become empty: one call for a burst, not one a byte. */
static void notify_room(struct serial *serial)
{
	if (serial->s.count == 0 && serial->chardev.room != NULL)
		serial->chardev.room(serial->chardev.opaque);
}

static uint8_t take_for_guest(struct serial *serial)
{
	uint8_t byte = fifo_pop(serial);

	notify_room(serial);
	return byte;
}

static void transmit(struct serial *serial, uint8_t byte)
{
	if (serial->s.mcr & MCR_LOOP)
		fifo_push(serial, byte);
	else if (serial->chardev.output != NULL)
		serial->chardev.output(serial->chardev.opaque, &byte, 1);
	serial->s.tx_pending = 1;
}

static uint8_t read_iir(struct serial *serial)
{
	uint8_t id = interrupt_id(serial);

	if (id == IIR_TX)
		serial->s.tx_pending = 0; /* reading IIR takes this one (data sheet, table 5) */
	return (uint8_t)(id | (serial->s.fcr & FCR_ENABLE ? IIR_FIFO_ON : 0));
}

static uint8_t read_lsr(struct serial *serial)
{
	struct serial_state *s = &serial->s;
	uint8_t value = (uint8_t)(s->lsr | LSR_IDLE | (s->count > 0 ? LSR_DATA : 0));

	s->lsr = 0;
	return value;
}

/* In loopback the modem outputs come back as inputs: DTR→DSR, RTS→CTS, OUT1→RI, OUT2→DCD. */
static uint8_t read_msr(const struct serial *serial)
{
	uint8_t mcr = serial->s.mcr;

	if (!(mcr & MCR_LOOP))
		return MSR_READY;
	return (uint8_t)((mcr & 1) << 5 | (mcr & 2) << 3 | (mcr & 4) << 4 | (mcr & 8) << 4);
}

static uint64_t serial_read(void *opaque, uint64_t off, unsigned size)
{
	struct serial *serial = opaque;
	struct serial_state *s = &serial->s;
	bool dlab = s->lcr & LCR_DLAB;
	uint8_t value = 0;

	(void)size;
	switch (off) {
	case REG_DATA:
		value = dlab ? s->dll : take_for_guest(serial);
		break;
	case REG_IER:
		value = dlab ? s->dlm : s->ier;
		break;
	case REG_IIR_FCR:
		value = read_iir(serial);
		break;
	case REG_LCR:
		value = s->lcr;
		break;
	case REG_MCR:
		value = s->mcr;
		break;
	case REG_LSR:
		value = read_lsr(serial);
		break;
	case REG_MSR:
		value = read_msr(serial);
		break;
	default:
		value = s->scr;
	}
	update_irq(serial);
	return value;
}

static void write_ier(struct serial *serial, uint8_t value)
{
	struct serial_state *s = &serial->s;

	/* Enabling the transmitter interrupt while THR is empty raises it: drivers rely on that. */
	if ((value & IER_TX) && !(s->ier & IER_TX))
		s->tx_pending = 1;
	s->ier = value & IER_MASK;
}

static void write_fcr(struct serial *serial, uint8_t value)
{
	struct serial_state *s = &serial->s;

	if ((value & FCR_CLEAR_RX) || ((value ^ s->fcr) & FCR_ENABLE)) {
		s->count = 0;
		memset(s->fifo, 0, sizeof(s->fifo));
	}
	s->fcr = value & FCR_ENABLE;
	notify_room(serial);
}

/* Leaving loopback connects the line again: the host's input may come in. */
static void write_mcr(struct serial *serial, uint8_t value)
{
	bool joined = (serial->s.mcr & MCR_LOOP) && !(value & MCR_LOOP);

	serial->s.mcr = value & MCR_MASK;
	if (joined)
		notify_room(serial);
}

static void serial_write(void *opaque, uint64_t off, uint64_t value64, unsigned size)
{
	struct serial *serial = opaque;
	struct serial_state *s = &serial->s;
	uint8_t value = (uint8_t)value64;
	bool dlab = s->lcr & LCR_DLAB;

	(void)size;
	switch (off) {
	case REG_DATA:
		if (dlab)
			s->dll = value;
		else
			transmit(serial, value);
		break;
	case REG_IER:
		if (dlab)
			s->dlm = value;
		else
			write_ier(serial, value);
		break;
	case REG_IIR_FCR:
		write_fcr(serial, value);
		break;
	case REG_LCR:
		s->lcr = value;
		break;
	case REG_MCR:
		write_mcr(serial, value);
		break;
	case REG_SCR:
		s->scr = value;
		break;
	default:
		break; /* LSR and MSR are read-only */
	}
	/* A new transmission while the line is high must be seen as a new edge. */
	if (off == REG_DATA && !dlab)
		serial->line = false;
	update_irq(serial);
}

static size_t serial_input(struct chardev *chardev, const uint8_t *data, size_t len)
{
	struct serial *serial = container_of(chardev, struct serial, chardev);
	size_t taken = 0;

	if (serial->s.mcr & MCR_LOOP)
		return 0; /* the receiver is connected to the transmitter */
	while (taken < len && serial->s.count < FIFO_SIZE)
		fifo_push(serial, data[taken++]);
	if (taken > 0)
		serial->line = false;
	update_irq(serial);
	return taken;
}

/* A break is received as a NUL whose LSR has BI set (data sheet, table 4). LSR has one BI for the
 * whole FIFO here: a break is taken when nothing is before it. */
static bool serial_break(struct chardev *chardev)
{
	struct serial *serial = container_of(chardev, struct serial, chardev);
	struct serial_state *s = &serial->s;

	if ((s->mcr & MCR_LOOP) || s->count > 0)
		return false;
	fifo_push(serial, 0);
	s->lsr |= LSR_BREAK;
	serial->line = false;
	update_irq(serial);
	return true;
}

static void serial_reset(struct device *dev)
{
	struct serial *serial = container_of(dev, struct serial, dev);

	serial->s = (struct serial_state){.dll = 12}; /* 9600 baud, as firmware leaves it */
	serial->line = false;
}

/* An edge may have been lost while the machine did not run: it is raised again if its condition
 * holds. */
static void serial_start(struct device *dev)
{
	struct serial *serial = container_of(dev, struct serial, dev);

	serial->line = false;
	update_irq(serial);
	notify_room(serial);
}

static int serial_check(struct device *dev, void *const staged[], struct err *err)
{
	const struct serial_state *s = staged[0];

	(void)dev;
	if ((s->ier & ~IER_MASK) || (s->mcr & ~MCR_MASK) || (s->fcr & ~FCR_ENABLE) ||
	    (s->lsr & ~LSR_ERRORS) || s->tx_pending > 1)
		return err_set(err, ERR_INTEGRITY, "a register holds bits that it does not have");
	return 0;
}

static void serial_destroy(struct device *dev)
{
	struct serial *serial = container_of(dev, struct serial, dev);

	irq_free(&serial->irq);
	free(serial);
}

static const struct device_ops serial_ops = {
	.reset = serial_reset,
	.start = serial_start,
	.check = serial_check,
	.destroy = serial_destroy,
};

static const struct bus_ops serial_bus_ops = {.read = serial_read, .write = serial_write};

int serial_create(struct machine *m, const struct serial_place *place, struct device **dev,
		  struct chardev **chardev, struct err *err)
{
	struct serial *serial = calloc(1, sizeof(*serial));
	int ret;

	if (serial == NULL)
		return err_sys(err, ENOMEM, "allocate the serial port");
	ret = irq_init_edge(&serial->irq, &m->kvm, place->gsi, err);
	if (ret < 0) {
		free(serial);
		return ret;
	}
	serial->dev = (struct device){
		.id = "serial0",
		.ops = &serial_ops,
		.part = {{"", &serial_table, &serial->s}},
		.nparts = 1,
	};
	serial->chardev.input = serial_input;
	serial->chardev.send_break = serial_break;
	serial_reset(&serial->dev);
	bus_add(place->bus, place->base, REG_COUNT, &serial_bus_ops, serial);
	*dev = &serial->dev;
	*chardev = &serial->chardev;
	return 0;
}
