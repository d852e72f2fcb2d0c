/*
 * MC146818 clock and memory behind ports 0x70 and 0x71. The time is the host's CLOCK_REALTIME, read
 * at the moment the guest asks, plus the offset that the guest has set; a machine that is resumed
 * days later therefore reads the date of that day. There are no periodic, alarm or update
 * interrupts: IRQ 8 never fires, which Linux' rtc-cmos takes for a clock without alarms. Runs with
 * the machine lock held.
 */
#include "devices/x86/cmos.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/num.h"
#include "vmm/x86_64/platform.h"

#define SIZE 128u

enum {
	REG_SECONDS = 0x00,
	REG_MINUTES = 0x02,
	REG_HOURS = 0x04,
	REG_WEEKDAY = 0x06,
	REG_DAY = 0x07,
	REG_MONTH = 0x08,
	REG_YEAR = 0x09,
	REG_A = 0x0a,
	REG_B = 0x0b,
	REG_C = 0x0c,
	REG_D = 0x0d,
	REG_CENTURY = 0x32,
};

#define A_DEFAULT 0x26u /* 32768 Hz time base; never "update in progress" */
#define B_SET	  0x80u
#define B_BINARY  0x04u
#define B_24H	  0x02u
#define D_VALID	  0x80u

/* No date that the registers can hold is further from now: 30000 years in seconds. */
#define OFFSET_MAX (UINT64_C(30000) * 366 * 86400)

struct cmos_state {
	uint64_t offset; /* seconds the guest's clock is ahead, two's complement */
	uint8_t index;
	uint8_t padding[7];
	uint8_t ram[SIZE]; /* the clock's registers as last written, and memory */
};

static const struct state_field cmos_fields[] = {
	STATE_SCALAR(struct cmos_state, offset, 1, 1, 0),
	STATE_SCALAR(struct cmos_state, index, 2, 1, STATE_HEX),
	STATE_PAD(struct cmos_state, padding),
	STATE_ARRAY(struct cmos_state, ram, 3, 1, 0),
};
static const struct state_table cmos_table = STATE_TABLE("cmos", 1, struct cmos_state, cmos_fields);

struct cmos {
	struct device dev;
	struct cmos_state s;
};

static const uint8_t time_regs[] = {REG_SECONDS, REG_MINUTES, REG_HOURS,  REG_DAY,
				    REG_MONTH,	 REG_YEAR,    REG_CENTURY};

static uint8_t cmos_encode(const struct cmos *cmos, int value)
{
	if (cmos->s.ram[REG_B] & B_BINARY)
		return (uint8_t)value;
	return (uint8_t)((value / 10) << 4 | value % 10);
}

static int cmos_decode(const struct cmos *cmos, uint8_t value)
{
	return cmos->s.ram[REG_B] & B_BINARY ? value : (value >> 4) * 10 + (value & 0xf);
}

static uint8_t cmos_encode_hour(const struct cmos *cmos, int hour)
{
	if (cmos->s.ram[REG_B] & B_24H)
		return cmos_encode(cmos, hour);
	return (uint8_t)(cmos_encode(cmos, (hour + 11) % 12 + 1) | (hour >= 12 ? 0x80 : 0));
}

static int cmos_decode_hour(const struct cmos *cmos, uint8_t value)
{
	if (cmos->s.ram[REG_B] & B_24H)
		return cmos_decode(cmos, value);
	return cmos_decode(cmos, value & 0x7f) % 12 + (value & 0x80 ? 12 : 0);
}

static void latch_time(struct cmos *cmos)
{
	time_t now = time(NULL) + (time_t)cmos->s.offset;
	uint8_t *r = cmos->s.ram;
	struct tm tm;
	int year;

	if (gmtime_r(&now, &tm) == NULL)
		return;
	year = tm.tm_year + 1900;
	if (year < 0 || year > 9999)
		year = 0; /* beyond four digits: the guest has set nonsense */
	r[REG_SECONDS] = cmos_encode(cmos, tm.tm_sec);
	r[REG_MINUTES] = cmos_encode(cmos, tm.tm_min);
	r[REG_HOURS] = cmos_encode_hour(cmos, tm.tm_hour);
	r[REG_WEEKDAY] = cmos_encode(cmos, tm.tm_wday + 1);
	r[REG_DAY] = cmos_encode(cmos, tm.tm_mday);
	r[REG_MONTH] = cmos_encode(cmos, tm.tm_mon + 1);
	r[REG_YEAR] = cmos_encode(cmos, year % 100);
	r[REG_CENTURY] = cmos_encode(cmos, year / 100);
}

/* The guest wrote the clock: what differs from the host's is its offset. */
static void set_offset(struct cmos *cmos)
{
	const uint8_t *r = cmos->s.ram;
	struct tm tm = {
		.tm_sec = cmos_decode(cmos, r[REG_SECONDS]),
		.tm_min = cmos_decode(cmos, r[REG_MINUTES]),
		.tm_hour = cmos_decode_hour(cmos, r[REG_HOURS]),
		.tm_mday = cmos_decode(cmos, r[REG_DAY]),
		.tm_mon = cmos_decode(cmos, r[REG_MONTH]) - 1,
		.tm_year = cmos_decode(cmos, r[REG_CENTURY]) * 100 +
			   cmos_decode(cmos, r[REG_YEAR]) - 1900,
	};
	time_t set = timegm(&tm);

	if (set != (time_t)-1)
		cmos->s.offset = (uint64_t)(set - time(NULL));
}

static bool is_time_register(uint8_t index)
{
	return index == REG_WEEKDAY || memchr(time_regs, index, sizeof(time_regs)) != NULL;
}

static uint64_t cmos_read(void *opaque, uint64_t off, unsigned size)
{
	struct cmos *cmos = opaque;
	uint8_t index = cmos->s.index;

	(void)size;
	if (off == 0)
		return 0xff; /* the index is write-only */
	if (is_time_register(index) && !(cmos->s.ram[REG_B] & B_SET))
		latch_time(cmos);
	if (index == REG_C)
		return 0; /* nothing has interrupted */
	return cmos->s.ram[index];
}

static void cmos_write_register(struct cmos *cmos, uint8_t index, uint8_t value)
{
	uint8_t *r = cmos->s.ram;
	bool was_set = r[REG_B] & B_SET;

	if (index == REG_A || index == REG_C || index == REG_D)
		return;
	if ((is_time_register(index) || index == REG_B) && !was_set)
		latch_time(cmos);
	r[index] = value;
	/* While SET holds the clock, a new time is put together out of the present one; it counts
	 * when SET goes. */
	if ((index == REG_B && was_set && !(value & B_SET)) ||
	    (is_time_register(index) && !was_set))
		set_offset(cmos);
}

static void cmos_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct cmos *cmos = opaque;

	(void)size;
	if (off == 0)
		cmos->s.index = (uint8_t)value & (SIZE - 1); /* bit 7 masks NMIs */
	else
		cmos_write_register(cmos, cmos->s.index, (uint8_t)value);
}

static void cmos_reset(struct device *dev)
{
	struct cmos *cmos = container_of(dev, struct cmos, dev);

	/* Battery-backed: time and memory outlive a reset. */
	cmos->s.index = 0;
	cmos->s.ram[REG_A] = A_DEFAULT;
	cmos->s.ram[REG_B] = B_24H;
	cmos->s.ram[REG_D] = D_VALID;
}

static int cmos_check(struct device *dev, void *const staged[], struct err *err)
{
	const struct cmos_state *s = staged[0];

	(void)dev;
	if (s->index >= SIZE)
		return err_set(err, ERR_INTEGRITY, "index 0x%x is beyond the memory", s->index);
	if (s->ram[REG_A] != A_DEFAULT || s->ram[REG_C] != 0 || s->ram[REG_D] != D_VALID)
		return err_set(err, ERR_INTEGRITY, "a read-only register has changed");
	if (s->offset + OFFSET_MAX > 2 * OFFSET_MAX)
		return err_set(err, ERR_INTEGRITY, "the clock is off by more than it can be set");
	return 0;
}

static void cmos_destroy(struct device *dev)
{
	free(container_of(dev, struct cmos, dev));
}

static const struct device_ops cmos_ops = {
	.reset = cmos_reset,
	.check = cmos_check,
	.destroy = cmos_destroy,
};

static const struct bus_ops cmos_bus_ops = {.read = cmos_read, .write = cmos_write};

int cmos_create(struct machine *m, struct device **dev, struct err *err)
{
	struct cmos *cmos = calloc(1, sizeof(*cmos));

	if (cmos == NULL)
		return err_sys(err, ENOMEM, "allocate the clock");
	cmos->dev = (struct device){
		.id = "cmos",
		.ops = &cmos_ops,
		.part = {{"", &cmos_table, &cmos->s}},
		.nparts = 1,
	};
	cmos_reset(&cmos->dev);
	bus_add(&m->pio, X86_CMOS_PORT, 2, &cmos_bus_ops, cmos);
	*dev = &cmos->dev;
	return 0;
}
