/*
 * The generation counter; see vmgenid.h. The value is drawn when the machine is created, put into
 * memory before it first runs and after each reset (boot wipes it), and drawn anew by
 * vmgenid_renew.
 */
#include "devices/vmgenid.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/num.h"
#include "devices/x86/acpi_pm.h"
#include "vmm/x86_64/platform.h"

struct vmgenid_state {
	uint8_t id[16];
};

static const struct state_field vmgenid_fields[] = {
	STATE_ARRAY(struct vmgenid_state, id, 1, 1, 0),
};
static const struct state_table vmgenid_table =
	STATE_TABLE("vmgenid", 1, struct vmgenid_state, vmgenid_fields);

struct vmgenid {
	struct device dev;
	struct machine *machine;
	struct device *power;
	struct vmgenid_state s;
};

static int draw(struct vmgenid *gen, struct err *err)
{
	if (getrandom(gen->s.id, sizeof(gen->s.id), 0) != (ssize_t)sizeof(gen->s.id))
		return err_sys(err, errno, "draw a generation id");
	return 0;
}

static void publish(struct vmgenid *gen)
{
	/* The page lies in the first MiB, which every machine has. */
	(void)mem_write(&gen->machine->mem, X86_VMGENID_ADDR, gen->s.id, sizeof(gen->s.id));
}

int vmgenid_renew(struct device *dev, struct err *err)
{
	struct vmgenid *gen = container_of(dev, struct vmgenid, dev);
	int ret = draw(gen, err);

	if (ret < 0)
		return ret;
	publish(gen);
	acpi_pm_raise_gpe(gen->power, X86_GPE_VMGENID);
	return 0;
}

static void vmgenid_start(struct device *dev)
{
	publish(container_of(dev, struct vmgenid, dev));
}

static void vmgenid_reset(struct device *dev)
{
	(void)dev; /* a reset makes no new generation */
}

static int vmgenid_check(struct device *dev, void *const staged[], struct err *err)
{
	(void)dev;
	(void)staged;
	(void)err;
	return 0; /* every value is a value */
}

static void vmgenid_destroy(struct device *dev)
{
	free(container_of(dev, struct vmgenid, dev));
}

static const struct device_ops vmgenid_ops = {
	.reset = vmgenid_reset,
	.start = vmgenid_start,
	.check = vmgenid_check,
	.destroy = vmgenid_destroy,
};

int vmgenid_create(struct machine *m, struct device *power, struct device **dev, struct err *err)
{
	struct vmgenid *gen = calloc(1, sizeof(*gen));
	int ret;

	if (gen == NULL)
		return err_sys(err, ENOMEM, "allocate the generation counter");
	gen->machine = m;
	gen->power = power;
	gen->dev = (struct device){
		.id = "vmgenid",
		.ops = &vmgenid_ops,
		.part = {{"", &vmgenid_table, &gen->s}},
		.nparts = 1,
	};
	ret = draw(gen, err);
	if (ret < 0) {
		free(gen);
		return ret;
	}
	*dev = &gen->dev;
	return 0;
}
