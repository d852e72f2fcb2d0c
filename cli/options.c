/* Table-driven getopt_long; see options.h. getopt's globals are used, so the main thread only. */
#include "cli/options.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "base/assert.h"

const struct option_spec options_none[] = {{0}};
const struct option_spec options_json[] = {OPTION_JSON_SPEC, {0}};

void options_init(struct options *o, const struct option_spec *specs, int argc, char **argv)
{
	*o = (struct options){.verb = argv[0], .specs = specs, .argc = argc, .argv = argv};
	optind = 0; /* GNU: scan anew */
	opterr = 0;
}

/* "[=N]", unlike "[HOST:]GUEST", which is a value that begins with what may be left out. */
bool option_value_optional(const struct option_spec *spec)
{
	return spec->arg != NULL && strncmp(spec->arg, "[=", 2) == 0;
}

/* An optional value is behind a long name and '=', or not there. */
static int argument(const struct option_spec *spec)
{
	if (spec->arg == NULL)
		return no_argument;
	return option_value_optional(spec) ? optional_argument : required_argument;
}

static const struct option_spec *find_spec(const struct option_spec *specs, int id)
{
	while (specs->id != 0 && specs->id != id)
		specs++;
	return specs->id != 0 ? specs : NULL;
}

static int bad_option(const struct options *o, int code, struct err *err)
{
	const struct option_spec *spec = find_spec(o->specs, optopt);

	if (code == ':' && spec != NULL)
		return err_set(err, ERR_USAGE, "--%s needs a value: %s", spec->name, spec->arg);
	if (optopt != 0 && spec == NULL)
		return err_set(err, ERR_USAGE, "unknown option -%c (see torpor help %s)", optopt,
			       o->verb);
	if (optopt != 0)
		return err_set(err, ERR_USAGE, "--%s takes no value", spec->name);
	return err_set(err, ERR_USAGE, "unknown option %s (see torpor help %s)",
		       o->argv[optind - 1], o->verb);
}

static int next_option(struct options *o, struct err *err)
{
	struct option longs[OPTIONS_MAX + 1] = {0};
	char shorts[2 * OPTIONS_MAX + 2] = ":", *s = shorts + 1;
	unsigned n = 0;
	int code;

	for (const struct option_spec *spec = o->specs; spec->id != 0; spec++, n++) {
		assert(n < OPTIONS_MAX);
		longs[n] = (struct option){
			.name = spec->name,
			.has_arg = argument(spec),
			.val = spec->id,
		};
		if (spec->id >= OPTION_LONG_ONLY)
			continue;
		*s++ = (char)spec->id;
		if (spec->arg != NULL)
			*s++ = ':';
	}
	*s = '\0';
	code = getopt_long(o->argc, o->argv, shorts, longs, NULL);
	if (code == ':' || code == '?')
		return bad_option(o, code, err);
	o->operand = optind;
	if (code < 0)
		return 0;
	o->name = find_spec(o->specs, code)->name;
	o->value = optarg;
	return code;
}

int options_next(struct options *o, struct err *err)
{
	int id;

	while ((id = next_option(o, err)) == OPTION_PROGRESS) {
		int ret = meter_choose(o->value, err);

		if (ret < 0)
			return ret;
	}
	return id;
}

const char *options_operand(struct options *o)
{
	return o->operand < o->argc ? o->argv[o->operand++] : NULL;
}

int options_end(struct options *o, struct err *err)
{
	const char *extra = options_operand(o);

	if (extra != NULL)
		return err_set(err, ERR_USAGE, "unexpected operand '%s' (see torpor help %s)",
			       extra, o->verb);
	return 0;
}

int options_missing(const struct options *o, const char *what, struct err *err)
{
	return err_set(err, ERR_USAGE, "%s is missing (see torpor help %s)", what, o->verb);
}

int options_one_operand(struct options *o, const char *what, const char **operand, struct err *err)
{
	*operand = options_operand(o);
	if (*operand == NULL)
		return options_missing(o, what, err);
	return options_end(o, err);
}

int options_flags(struct options *o, int id, bool *set, struct err *err)
{
	int found;

	while ((found = options_next(o, err)) > 0)
		*set = *set || found == id;
	return found;
}

int option_unhandled(int id, struct err *err)
{
	return err_set(err, ERR_FAILED, "option %d of this verb is not handled: report this", id);
}
