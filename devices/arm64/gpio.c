/*
 * PL061. Only the pin of the power key is ever an input; the others read as zero. The interrupt is a
 * level: high while a pin has had the edge, or has the level, that its registers ask for. Runs with the
 * machine lock held.
 *
 * The key stays down for longer than the 5 ms for which Linux' gpio-keys waits until a pin has settled.
 */
#include "devices/arm64/gpio.h"

#include <errno.h>
#include <stdlib.h>

#include "base/num.h"
#include "base/timer.h"
#include "devices/arm64/primecell.h"
#include "vmm/arm64/boot/platform.h"

/* DATA takes the bits that it gives from the address: off / 4. */
#define GPIO_DATA_END 0x400u
enum {
	GPIO_DIR = 0x400,   /* 1: output */
	GPIO_SENSE = 0x404, /* 1: level */
	GPIO_BOTH = 0x408,
	GPIO_EVENT = 0x40c, /* 1: rising, high */
	GPIO_ENABLE = 0x410,
	GPIO_RAW = 0x414,
	GPIO_MASKED = 0x418,
	GPIO_CLEAR = 0x41c,
	GPIO_FUNCTION = 0x420,
};

#define PART	 0x061u
#define POWER	 (1u << ARM64_POWER_PIN)
#define PINS	 0xffu
#define PRESS_MS 100u

struct gpio_state {
	uint8_t input;
	uint8_t output;
	uint8_t dir, sense, both, event, enable, function;
	uint8_t edges; /* that were seen and not cleared */
	uint8_t unseen; /* the key is down, and the guest has not looked at it since: no time releases it */
	uint8_t padding[2];
};

#define GPIO(m, tag) STATE_SCALAR(struct gpio_state, m, tag, 1, STATE_HEX)
static const struct state_field gpio_fields[] = {
	GPIO(input, 1),
	GPIO(output, 2),
	GPIO(dir, 3),
	GPIO(sense, 4),
	GPIO(both, 5),
	GPIO(event, 6),
	GPIO(enable, 7),
	GPIO(function, 8),
	GPIO(edges, 9),
	STATE_SCALAR(struct gpio_state, unseen, 10, 2, 0),
	STATE_PAD(struct gpio_state, padding),
};
static const struct state_table gpio_table = STATE_TABLE("gpio", 2, struct gpio_state, gpio_fields);

struct gpio {
	struct device dev;
	struct gpio_state s;
	struct irq irq;
	struct timer release;
};

static uint8_t raw_interrupts(const struct gpio_state *s)
{
	const uint8_t high = s->input & (uint8_t)~s->dir;
	const uint8_t levels = s->sense & (uint8_t) ~(high ^ s->event);

	return (uint8_t)(levels | (s->edges & (uint8_t)~s->sense));
}

static void update_irq(struct gpio *gpio)
{
	irq_level(&gpio->irq, (raw_interrupts(&gpio->s) & gpio->s.enable) != 0);
}

static void set_power(struct gpio *gpio, bool down)
{
	struct gpio_state *s = &gpio->s;
	const uint8_t before = s->input;

	s->input = down ? before | POWER : before & (uint8_t)~POWER;
	if (s->input != before && !(s->dir & POWER) &&
	    ((s->both & POWER) || down == ((s->event & POWER) != 0)))
		s->edges |= POWER;
	update_irq(gpio);
}

static void release_power(void *opaque)
{
	struct gpio *gpio = opaque;

	gpio->s.unseen = 0;
	set_power(gpio, false);
}

bool gpio_press_power(struct device *dev)
{
	struct gpio *gpio = container_of(dev, struct gpio, dev);
	const bool heard = (gpio->s.enable & POWER) != 0;

	/* Down since the last press, which nobody has looked at: another edge. */
	set_power(gpio, false);
	set_power(gpio, true);
	/* A guest that is being paged in takes its time to look: it is released behind that. */
	gpio->s.unseen = heard;
	timer_set(&gpio->release, heard ? 0 : PRESS_MS);
	return heard;
}

/* The registers that are what was written; NULL: it is another one. */
static uint8_t *plain_register(struct gpio_state *s, uint64_t off)
{
	switch (off) {
	case GPIO_DIR:
		return &s->dir;
	case GPIO_SENSE:
		return &s->sense;
	case GPIO_BOTH:
		return &s->both;
	case GPIO_EVENT:
		return &s->event;
	case GPIO_ENABLE:
		return &s->enable;
	case GPIO_FUNCTION:
		return &s->function;
	default:
		return NULL;
	}
}

static uint64_t gpio_read(void *opaque, uint64_t off, unsigned size)
{
	struct gpio *gpio = opaque;
	struct gpio_state *s = &gpio->s;
	const uint8_t *plain = plain_register(s, off);

	(void)size;
	if (off < GPIO_DATA_END) {
		if (s->unseen && (s->input & ~s->dir & (off >> 2) & POWER) != 0) {
			s->unseen = 0;
			timer_set(&gpio->release, PRESS_MS);
		}
		return ((s->input & ~s->dir) | (s->output & s->dir)) & (off >> 2) & PINS;
	}
	if (off >= PRIMECELL_ID_AT)
		return primecell_id(PART, off);
	if (off == GPIO_RAW)
		return raw_interrupts(s);
	if (off == GPIO_MASKED)
		return raw_interrupts(s) & s->enable;
	return plain != NULL ? *plain : 0;
}

static void gpio_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct gpio *gpio = opaque;
	struct gpio_state *s = &gpio->s;
	uint8_t *plain = plain_register(s, off);
	const uint8_t bits = (uint8_t)value;

	(void)size;
	if (off < GPIO_DATA_END) {
		const uint8_t mask = (uint8_t)(off >> 2);

		s->output = (uint8_t)((s->output & ~mask) | (bits & mask));
	} else if (off == GPIO_CLEAR) {
		s->edges &= (uint8_t)~bits;
	} else if (plain != NULL) {
		*plain = bits;
	}
	update_irq(gpio);
}

static void gpio_reset(struct device *dev)
{
	struct gpio *gpio = container_of(dev, struct gpio, dev);

	timer_set(&gpio->release, 0);
	gpio->s = (struct gpio_state){0};
	update_irq(gpio);
}

/* A key that was down, and looked at, when the machine was saved is still to be released. */
static void gpio_start(struct device *dev)
{
	struct gpio *gpio = container_of(dev, struct gpio, dev);

	update_irq(gpio);
	if ((gpio->s.input & POWER) != 0 && !gpio->s.unseen)
		timer_set(&gpio->release, PRESS_MS);
}

static void gpio_quiesce(struct device *dev)
{
	timer_set(&container_of(dev, struct gpio, dev)->release, 0);
}

static int gpio_check(struct device *dev, void *const staged[], struct err *err)
{
	const struct gpio_state *s = staged[0];

	(void)dev;
	if ((s->input & ~POWER) != 0)
		return err_set(err, ERR_INTEGRITY, "a pin is high that nothing drives");
	if (s->unseen > 1 || (s->unseen && !(s->input & POWER)))
		return err_set(err, ERR_INTEGRITY, "the power key is malformed");
	return 0;
}

static void gpio_destroy(struct device *dev)
{
	struct gpio *gpio = container_of(dev, struct gpio, dev);

	timer_close(&gpio->release);
	irq_free(&gpio->irq);
	free(gpio);
}

static const struct device_ops gpio_ops = {
	.reset = gpio_reset,
	.start = gpio_start,
	.quiesce = gpio_quiesce,
	.check = gpio_check,
	.destroy = gpio_destroy,
};

static const struct bus_ops gpio_bus_ops = {.read = gpio_read, .write = gpio_write};

int gpio_create(struct machine *m, struct device **dev, struct err *err)
{
	struct gpio *gpio = calloc(1, sizeof(*gpio));
	int ret;

	if (gpio == NULL)
		return err_sys(err, ENOMEM, "allocate the power key");
	gpio->release = TIMER_CLOSED;
	ret = timer_open(&gpio->release, &m->loop, release_power, gpio, err);
	if (ret < 0) {
		free(gpio);
		return ret;
	}
	gpio->dev = (struct device){
		.id = "gpio",
		.ops = &gpio_ops,
		.part = {{"", &gpio_table, &gpio->s}},
		.nparts = 1,
	};
	irq_init_level(&gpio->irq, &m->kvm, ARM64_GPIO_SPI);
	bus_add(&m->mmio, ARM64_GPIO_ADDR, ARM64_DEVICE_SIZE, &gpio_bus_ops, gpio);
	*dev = &gpio->dev;
	return 0;
}
