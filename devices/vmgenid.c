/*
 * The generation counter; see vmgenid.h. The value is drawn when the machine is created, put into
 * memory before it first runs and after each reset (boot wipes it), and drawn anew by
 * vmgenid_renew.
 */
#include "devices/vmgenid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/num.h"

struct vmgenid_state {
	uint8_t id[VMGENID_SIZE];
};

static const struct state_field vmgenid_fields[] = {
	STATE_ARRAY(struct vmgenid_state, id, 1, 1, 0),
};
static const struct state_table vmgenid_table =
	STATE_TABLE("vmgenid", 1, struct vmgenid_state, vmgenid_fields);

struct vmgenid {
	struct device dev;
	struct machine *machine;
	struct vmgenid_params params;
	struct vmgenid_state s;
};

static int draw_id(struct vmgenid *gen, struct err *err)
{
	if (getrandom(gen->s.id, sizeof(gen->s.id), 0) != (ssize_t)sizeof(gen->s.id))
		return err_sys(err, errno, "draw a generation id");
	return 0;
}

static void write_id(struct vmgenid *gen)
{
	/* The board has put the page into memory that every machine has. */
	(void)mem_write(&gen->machine->mem, gen->params.gpa, gen->s.id, sizeof(gen->s.id));
}

int vmgenid_renew(struct device *dev, struct err *err)
{
	struct vmgenid *gen = container_of(dev, struct vmgenid, dev);
	int ret = draw_id(gen, err);

	if (ret < 0)
		return ret;
	vmgenid_set(dev, gen->s.id);
	return 0;
}

void vmgenid_set(struct device *dev, const uint8_t id[VMGENID_SIZE])
{
	struct vmgenid *gen = container_of(dev, struct vmgenid, dev);

	memmove(gen->s.id, id, sizeof(gen->s.id));
	write_id(gen);
	gen->params.notify(gen->params.opaque);
}

static void vmgenid_start(struct device *dev)
{
	write_id(container_of(dev, struct vmgenid, dev));
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
	return 0; /* every value is valid */
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

int vmgenid_create(struct machine *m, const struct vmgenid_params *params, struct device **dev,
		   struct err *err)
{
	struct vmgenid *gen = calloc(1, sizeof(*gen));
	int ret;

	if (gen == NULL)
		return err_sys(err, ENOMEM, "allocate the generation counter");
	gen->machine = m;
	gen->params = *params;
	gen->dev = (struct device){
		.id = "vmgenid",
		.ops = &vmgenid_ops,
		.part = {{"", &vmgenid_table, &gen->s}},
		.nparts = 1,
	};
	ret = draw_id(gen, err);
	if (ret < 0) {
		free(gen);
		return ret;
	}
	*dev = &gen->dev;
	return 0;
}
