/* The power key: it stays down until its guest has looked, over a pause, too. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <poll.h>

#include "devices/arm64/gpio.h"
#include "tests/unit/fake_driver.h"
#include "vmm/arm64/boot/platform.h"

#define POWER (1u << ARM64_POWER_PIN)

enum { SENSE = 0x404, EVENT = 0x40c, ENABLE = 0x410, RAW = 0x414 };

static struct fake fake;
static struct device *key;

static void setup(void)
{
	struct err err;

	fake_init(&fake);
	cr_assert(eq(int, gpio_create(&fake.m, &key, &err), 0));
}

static void teardown(void)
{
	key->ops->destroy(key);
	fake_free(&fake);
}

TestSuite(gpio, .init = setup, .fini = teardown);

static uint32_t read_gpio(uint64_t off)
{
	uint32_t value = 0;

	bus_read(&fake.m.mmio, ARM64_GPIO_ADDR + off, &value, sizeof(value));
	return value;
}

static void write_gpio(uint64_t off, uint32_t value)
{
	bus_write(&fake.m.mmio, ARM64_GPIO_ADDR + off, &value, sizeof(value));
}

/* As gpio-keys does. */
static bool guest_looks(void)
{
	return read_gpio(POWER << 2) == POWER;
}

/* Without looking: a level is asked for. */
static bool is_down(void)
{
	return (read_gpio(RAW) & POWER) != 0;
}

static void driver_listens(void)
{
	write_gpio(SENSE, POWER);
	write_gpio(EVENT, POWER);
	write_gpio(ENABLE, POWER);
}

/* Longer than a key that was looked at is down. */
static void time_passes(void)
{
	(void)poll(NULL, 0, 200);
	loop_poll(&fake.m.loop);
}

static void await_release(void)
{
	while (is_down())
		loop_poll(&fake.m.loop);
}

static void pause_and_go_on(void)
{
	key->ops->quiesce(key);
	key->ops->start(key);
}

Test(gpio, nobody_listens)
{
	cr_assert_not(gpio_press_power(key));
	write_gpio(SENSE, POWER);
	write_gpio(EVENT, POWER);
	cr_assert(is_down());
	await_release();
}

Test(gpio, the_key_is_down_until_the_guest_has_looked)
{
	driver_listens();
	cr_assert(gpio_press_power(key));
	time_passes();
	cr_assert(is_down());
	cr_assert(guest_looks());
	await_release();
	cr_assert_not(guest_looks());
}

Test(gpio, a_pause_does_not_release_a_key_that_was_not_looked_at)
{
	driver_listens();
	cr_assert(gpio_press_power(key));
	pause_and_go_on();
	time_passes();
	cr_assert(is_down());
	cr_assert(guest_looks());
	pause_and_go_on();
	await_release();
}

/* A guest that asks again and again. */
Test(gpio, looking_does_not_hold_the_key_down)
{
	driver_listens();
	cr_assert(gpio_press_power(key));
	while (guest_looks())
		loop_poll(&fake.m.loop);
}
