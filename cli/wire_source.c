/* See wire_source.h. */
#include "cli/wire_source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/arrival.h"
#include "base/num.h"
#include "cli/registry_args.h"
#include "cli/trust.h"
#include "host/paths.h"
#include "meter/meter.h"

#define WAIT_CHUNK MIB(4)

/* The folder that the store will have. */
static int find_home(struct wire_source *s, struct err *err)
{
	struct path root;
	int ret = path_cas(&root, err);

	if (ret == 0 &&
	    snprintf(s->home, sizeof(s->home), "%s/images/%s", root.text,
		     strchr(s->wire->image[0].manifest, ':') + 1) >= (int)sizeof(s->home))
		s->home[0] = '\0';
	return ret;
}

static int wait_for_file(struct arrival *a, struct progress *progress, struct err *err)
{
	/* What is behind the chunk that is waited for comes beside it. */
	arrival_want(a, 0, arrival_size(a));
	for (uint64_t at = 0; at < arrival_size(a); at += WAIT_CHUNK) {
		const uint64_t len = u64_min(WAIT_CHUNK, arrival_size(a) - at);
		int ret = arrival_await(a, at, len, err);

		if (ret < 0)
			return ret;
		progress_add(progress, len);
	}
	return 0;
}

static int wait_for_all(struct arrivals *set, const char *verb, struct err *err)
{
	struct arrivals_status status;
	const struct meter_params shown = {.verb = verb, .cancelled = "nothing was started"};
	int ret = meter_begin(&shown, err);

	if (ret < 0)
		return ret;
	arrivals_status(set, &status);
	meter_run();
	progress_expect(meter_progress(), status.bytes);
	for (uint32_t i = 0; ret == 0 && i < arrivals_files(set); i++)
		ret = wait_for_file(arrivals_file(set, i), meter_progress(), err);
	meter_end(ret);
	return ret;
}

static bool look_at_wire(void *opaque, uint64_t *done, uint64_t *expected)
{
	const struct wire_source *s = opaque;

	*done = atomic_load(&s->waits_for->done);
	*expected = atomic_load(&s->waits_for->expected);
	return true;
}

static void on_wait(void *opaque, const struct wire_wait *wait)
{
	struct wire_source *s = opaque;
	const struct meter_params shown = {
		.verb = s->verb,
		.cancelled = "nothing was started",
		.waits_for = wait->host,
		.look = look_at_wire,
		.opaque = s,
	};

	s->waits_for = wait->progress;
	/* Without it nothing is shown. */
	if (meter_begin(&shown, NULL) == 0)
		meter_run();
}

static void on_wait_over(void *opaque, bool failed)
{
	(void)opaque;
	meter_end(failed ? -ECANCELED : 0);
}

static int accept_stored(void *signer, const char *path, struct err *err)
{
	cleanup_trust struct trust trust = {.signers = {0}, .image = path};
	struct archive_open_params params = {.fd = -1, .opaque = &trust};
	cleanup_archive struct archive *a = NULL;

	if (signer != NULL) {
		int ret = trust_load(&trust, signer, err);

		if (ret < 0)
			return ret;
		params.verify_signature = trust_verify_signature;
	}
	return archive_open_with(&a, path, &params, err);
}

int wire_source_open(struct wire_source *s, const char *text,
		     const struct registry_options *options, const char *verb, bool wait,
		     const char *signer, const char **stored, struct err *err)
{
	struct wire_options with = {
		.signatures = signer != NULL,
		.accept = accept_stored,
		.accept_opaque = (void *)signer,
		.registry = *options,
		.waits = on_wait,
		.waits_over = on_wait_over,
		.waits_opaque = s,
	};
	struct path root;
	int ret = path_cas(&root, err);

	*s = (struct wire_source){.verb = verb};
	*stored = NULL;
	if (ret < 0)
		return ret;
	with.store = root.text;
	ret = wire_open(&s->wire, text, &with, err);
	if (ret < 0)
		return ret;
	if (s->wire->path[0] != '\0') {
		*stored = s->wire->path;
		return 0;
	}
	if (s->wire->missing[0] != '\0')
		ret = err_set(err, ERR_NOT_FOUND,
			      "%s stands on %s, which neither its registry nor the store has", text,
			      s->wire->missing);
	else if (s->wire->nimages > 0)
		ret = find_home(s, err);
	if (ret == 0 && wait && s->wire->arrivals != NULL)
		ret = wait_for_all(s->wire->arrivals, verb, err);
	s->whole.blob = s->wire->whole;
	return ret;
}

void wire_source_close(struct wire_source *s)
{
	wire_close(s->wire);
	s->wire = NULL;
}

static bool give_parent(void *opaque, const char *digest, const struct container_member **members,
			size_t *n)
{
	const struct wire_image *image = wire_image(opaque, digest);

	if (image == NULL)
		return false;
	*members = image->member;
	*n = image->nmembers;
	return true;
}

void wire_source_params(const struct wire_source *s, struct archive_open_params *params)
{
	params->members = s->wire->nimages > 0 ? s->wire->image[0].member : &s->whole;
	params->nmembers = s->wire->nimages > 0 ? s->wire->image[0].nmembers : 1;
	params->give_parent = give_parent;
	params->give_opaque = s->wire;
}

void wire_source_attach(const struct wire_source *s, struct source *source)
{
	source->arrivals = s->wire->arrivals;
	source->arrivals_map = s->wire->map_path;
	source->home = s->home[0] != '\0' ? s->home : NULL;
	source->unnamed = s->home[0] == '\0';
}
