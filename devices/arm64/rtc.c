/*
 * PL031. The time is the host's CLOCK_REALTIME, read at the moment the guest asks, plus the offset that
 * the guest has set; a machine that is resumed days later therefore reads the date of that day. There is
 * no alarm: the device tree names no interrupt, which Linux' rtc-pl031 takes for a clock without. Runs
 * with the machine lock held.
 */
#include "devices/arm64/rtc.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/num.h"
#include "devices/arm64/primecell.h"
#include "vmm/arm64/boot/platform.h"

enum {
	RTC_DATA = 0x00,
	RTC_MATCH = 0x04,
	RTC_LOAD = 0x08,
	RTC_CONTROL = 0x0c,
	RTC_MASK = 0x10,
};

#define PART	   0x031u
#define CONTROL_ON 1u

struct rtc_state {
	uint32_t offset; /* seconds the guest's clock is ahead, modulo 2^32 */
	uint32_t match;
	uint32_t load; /* as written last */
	uint32_t mask;
};

static const struct state_field rtc_fields[] = {
	STATE_SCALAR(struct rtc_state, offset, 1, 1, 0),
	STATE_SCALAR(struct rtc_state, match, 2, 1, 0),
	STATE_SCALAR(struct rtc_state, load, 3, 1, 0),
	STATE_SCALAR(struct rtc_state, mask, 4, 1, STATE_HEX),
};
static const struct state_table rtc_table = STATE_TABLE("rtc", 1, struct rtc_state, rtc_fields);

struct rtc {
	struct device dev;
	struct rtc_state s;
};

static uint64_t rtc_read(void *opaque, uint64_t off, unsigned size)
{
	const struct rtc *rtc = opaque;

	(void)size;
	if (off >= PRIMECELL_ID_AT)
		return primecell_id(PART, off);
	switch (off) {
	case RTC_DATA:
		return (uint32_t)time(NULL) + rtc->s.offset;
	case RTC_MATCH:
		return rtc->s.match;
	case RTC_LOAD:
		return rtc->s.load;
	case RTC_CONTROL:
		return CONTROL_ON; /* it cannot be stopped */
	case RTC_MASK:
		return rtc->s.mask;
	default:
		return 0;
	}
}

static void rtc_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct rtc *rtc = opaque;

	(void)size;
	switch (off) {
	case RTC_MATCH:
		rtc->s.match = (uint32_t)value;
		break;
	case RTC_LOAD:
		rtc->s.load = (uint32_t)value;
		rtc->s.offset = (uint32_t)value - (uint32_t)time(NULL);
		break;
	case RTC_MASK:
		rtc->s.mask = value & 1;
		break;
	default:
		break;
	}
}

static void rtc_reset(struct device *dev)
{
	struct rtc *rtc = container_of(dev, struct rtc, dev);

	/* Battery-backed: the time outlives a reset. */
	rtc->s.match = rtc->s.mask = 0;
}

static int rtc_check(struct device *dev, void *const staged[], struct err *err)
{
	const struct rtc_state *s = staged[0];

	(void)dev;
	return s->mask > 1 ? err_set(err, ERR_INTEGRITY, "a bit that is not there is set") : 0;
}

static void rtc_destroy(struct device *dev)
{
	free(container_of(dev, struct rtc, dev));
}

static const struct device_ops rtc_ops = {
	.reset = rtc_reset,
	.check = rtc_check,
	.destroy = rtc_destroy,
};

static const struct bus_ops rtc_bus_ops = {.read = rtc_read, .write = rtc_write};

int rtc_create(struct machine *m, struct device **dev, struct err *err)
{
	struct rtc *rtc = calloc(1, sizeof(*rtc));

	if (rtc == NULL)
		return err_sys(err, ENOMEM, "allocate the clock");
	rtc->dev = (struct device){
		.id = "rtc",
		.ops = &rtc_ops,
		.part = {{"", &rtc_table, &rtc->s}},
		.nparts = 1,
	};
	bus_add(&m->mmio, ARM64_RTC_ADDR, ARM64_DEVICE_SIZE, &rtc_bus_ops, rtc);
	*dev = &rtc->dev;
	return 0;
}
