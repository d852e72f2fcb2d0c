/* See packing_args.h. */
#include "cli/packing_args.h"

#include "format/image/image_pack.h"
#include "host/parse.h"

void packing_args_init(struct packing_args *args)
{
	*args = (struct packing_args){.level = IMAGE_PACK_LEVEL};
}

static int take_packing_level(struct packing_args *args, const char *value, struct err *err)
{
	uint64_t level;
	int ret = parse_number(value, "--level", 1, IMAGE_PACK_MAX_LEVEL, &level, err);

	if (ret < 0)
		return ret;
	args->level = (int)level;
	return 1;
}

int packing_args_take(struct packing_args *args, int id, const char *value, struct err *err)
{
	switch (id) {
	case OPTION_FLAT:
		args->flat = true;
		return 1;
	case OPTION_LEVEL:
		return take_packing_level(args, value, err);
	default:
		return 0;
	}
}
