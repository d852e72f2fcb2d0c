/* See packing_args.h. */
#include "cli/packing_args.h"

#include "format/image/image_pack.h"
#include "host/parse.h"

void packing_args_init(struct packing_args *args)
{
	*args = (struct packing_args){.level = IMAGE_PACK_LEVEL};
}

static int parse_packing_level(const char *value, int *level, struct err *err)
{
	uint64_t number;
	int ret = parse_number(value, "--level", 1, IMAGE_PACK_MAX_LEVEL, &number, err);

	if (ret < 0)
		return ret;
	*level = (int)number;
	return 0;
}

int packing_args_take(struct packing_args *args, int id, const char *value, struct err *err)
{
	int ret;

	switch (id) {
	case OPTION_FLAT:
		args->flat = true;
		break;
	case OPTION_LEVEL:
		args->level_given = true;
		ret = parse_packing_level(value, &args->level, err);
		if (ret < 0)
			return ret;
		break;
	default:
		return 0;
	}
	if (args->flat && args->level_given)
		return err_set(err, ERR_USAGE, "--flat and --level exclude each other");
	return 1;
}
