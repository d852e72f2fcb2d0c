/*
 * The keyboard controller's command port: 0xfe pulses the reset line, which is also the FADT's
 * reset register. No keyboard answers: status reads as empty, so that probes end at once.
 * Stateless; runs with the machine lock held.
 */
#include "devices/x86/i8042.h"

#include <errno.h>
#include <stdlib.h>

#include "base/num.h"
#include "vmm/x86_64/platform.h"

struct i8042 {
	struct device dev;
	struct machine *machine;
};

static uint64_t i8042_read(void *opaque, uint64_t off, unsigned size)
{
	(void)opaque;
	(void)off;
	(void)size;
	return 0; /* both buffers empty */
}

static void i8042_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct i8042 *i8042 = opaque;

	(void)off;
	(void)size;
	if (value == X86_I8042_RESET)
		machine_request_reset(i8042->machine,
				      "port 0x64 (i8042, also the reset register of ACPI)");
}

static void ignore_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	(void)opaque;
	(void)off;
	(void)value;
	(void)size;
}

static void i8042_reset(struct device *dev)
{
	(void)dev;
}

static int i8042_check(struct device *dev, void *const staged[], struct err *err)
{
	(void)dev;
	(void)staged;
	(void)err;
	return 0;
}

static void i8042_destroy(struct device *dev)
{
	free(container_of(dev, struct i8042, dev));
}

static const struct device_ops i8042_ops = {
	.reset = i8042_reset,
	.check = i8042_check,
	.destroy = i8042_destroy,
};

static const struct bus_ops command_ops = {.read = i8042_read, .write = i8042_write};
static const struct bus_ops data_ops = {.read = i8042_read, .write = ignore_write};

int i8042_create(struct machine *m, struct device **dev, struct err *err)
{
	struct i8042 *i8042 = calloc(1, sizeof(*i8042));

	if (i8042 == NULL)
		return err_sys(err, ENOMEM, "allocate the keyboard controller");
	i8042->machine = m;
	i8042->dev = (struct device){.id = "i8042", .ops = &i8042_ops};
	bus_add(&m->pio, X86_I8042_DATA, 1, &data_ops, i8042);
	bus_add(&m->pio, X86_I8042_CMD, 1, &command_ops, i8042);
	*dev = &i8042->dev;
	return 0;
}
