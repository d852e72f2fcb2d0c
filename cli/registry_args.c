/* See registry_args.h. */
#include "cli/registry_args.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "host/parse.h"
#include "host/paths.h"
#include "meter/meter.h"

int registry_args_take(struct registry_options *options, int id, const char *value, struct err *err)
{
	uint64_t seconds;
	int ret;

	switch (id) {
	case OPTION_CACERT:
		options->ca_file = value;
		return 1;
	case OPTION_PLAIN_HTTP:
		options->plain_http = true;
		return 1;
	case OPTION_TIMEOUT:
		ret = parse_number(value, "--timeout", 1, 86400, &seconds, err);
		options->silence_s = ret == 0 ? (unsigned)seconds : 0;
		return ret < 0 ? ret : 1;
	default:
		return 0;
	}
}

int registry_args_store(struct cas *cas, enum cas_use use, struct err *err)
{
	struct path root;
	int ret = path_cas(&root, err);

	*cas = (struct cas){.folder = -1, .lock = -1};
	return ret < 0 ? ret : cas_open(cas, root.text, use, err);
}

int registry_args_reference(struct reference *ref, const char *text, struct err *err)
{
	int ret = reference_parse(ref, text, err);

	if (ret < 0)
		return ret;
	if (strcmp(ref->host, REFERENCE_LOCAL) == 0)
		return err_set(err, ERR_USAGE,
			       "'%s' names no registry: docker://HOST/NAME[:TAG] does", text);
	return 0;
}

int registry_args_host(struct reference *ref, const char *text, struct err *err)
{
	char whole[REFERENCE_HOST + sizeof(REFERENCE_SCHEME "/any")];

	if (strlen(text) < REFERENCE_HOST && strchr(text, '/') == NULL) {
		snprintf(whole, sizeof(whole), REFERENCE_SCHEME "%s/any", text);
		if (reference_parse(ref, whole, NULL) == 0 && strcmp(ref->host, text) == 0)
			return 0;
	}
	return err_set(err, ERR_USAGE, "'%s' is no HOST[:PORT] of a registry", text);
}

static int pull_into(const struct cas *cas, const struct reference *ref,
		     const struct registry_options *options, const struct registry_pull *what,
		     struct registry_pulled *pulled, char path[PATH_MAX], struct err *err)
{
	cleanup_registry struct registry *r = NULL;
	int ret = cas_check_ref(ref, err);

	if (ret == 0)
		ret = registry_open(&r, ref, options, err);
	if (ret < 0)
		return ret;
	ret = registry_pull(r, cas, what, pulled, err);
	if (ret < 0)
		return ret;
	ret = cas_set_ref(cas, ref, pulled->named, err);
	if (ret < 0 || pulled->digest[0] == '\0')
		return ret;
	ret = cas_image_path(cas, pulled->digest, path, err);
	return ret < 0 ? ret : cas_hold(path, err);
}

int registry_args_pull(const struct reference *ref, const struct registry_options *options,
		       const struct registry_pull *what, const char *verb,
		       struct registry_pulled *pulled, char path[PATH_MAX], struct err *err)
{
	cleanup_cas struct cas cas = {.folder = -1, .lock = -1};
	struct registry_options with = *options;
	char name[REFERENCE_TEXT];
	const struct meter_params shown = {
		.verb = verb,
		.cancelled = "what has come is kept, and the next pull goes on from there",
	};
	int ret = registry_args_store(&cas, CAS_ADD, err);

	if (ret < 0)
		return ret;
	ret = meter_begin(&shown, err);
	if (ret < 0)
		return ret;
	meter_run();
	with.actions = REGISTRY_PULL;
	with.progress = meter_progress();
	ret = pull_into(&cas, ref, &with, what, pulled, path, err);
	meter_end(ret);
	reference_text(ref, name);
	return ret < 0 ? err_context(err, ret, REFERENCE_SCHEME "%s", name) : 0;
}
