/*
 * torpor warm: find out what a resume touches first, and put that in front of the file.
 *
 * A clone is resumed, watched, and thrown away; the file is written anew with the frames it
 * touched as the hot set, which a resume maps. Identity and signature stay.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/tempfile.h"
#include "cli/command.h"
#include "cli/launch.h"
#include "cli/lease.h"
#include "cli/print_line.h"
#include "cli/target.h"
#include "format/convert.h"
#include "host/parse.h"
#include "host/sandbox.h"
#include "instance/instance.h"
#include "instance/warmup.h"
#include "meter/meter.h"

#define DEFAULT_SECONDS 5
#define UNTIL_SECONDS	600 /* at most, where --until alone is given */

enum {
	OPTION_FOR = OPTION_LONG_ONLY + 1,
	OPTION_UNTIL,
};

static const struct option_spec options[] = {
	{OPTION_FOR, "for", "SECONDS",
	 "watch it for that long, default 5; with --until at most, default 600"},
	{OPTION_UNTIL, "until", "TEXT", "watch it until it writes this to its console"},
	{'o', "output", "FILE", "write there; default: replace FILE"},
	LEASE_OPTION,
	OPTION_PROGRESS_SPEC,
	{0},
};

struct warm_args {
	struct target input;
	const char *file;
	const char *output;
	const char *lease; /* --until-closed; NULL: not given */
	int lease_fd;
	struct warmup warmup;
};

/* "5" and "5s". */
static int parse_seconds(const char *text, uint64_t *seconds, struct err *err)
{
	char digits[16];
	size_t len = strlen(text);

	if (len > 1 && len < sizeof(digits) && text[len - 1] == 's') {
		memcpy(digits, text, len - 1);
		digits[len - 1] = '\0';
		text = digits;
	}
	return parse_number(text, "--for", 1, WARMUP_MAX_SECONDS, seconds, err);
}

static int cmd_warm_option(struct warm_args *args, int id, const char *value, struct err *err)
{
	switch (id) {
	case OPTION_FOR:
		return parse_seconds(value, &args->warmup.seconds, err);
	case OPTION_UNTIL:
		args->warmup.until = value;
		if (value[0] != '\0' && strlen(value) <= WARMUP_MAX_TEXT)
			return 0;
		return err_set(err, ERR_USAGE, "--until: 1 to %u bytes", WARMUP_MAX_TEXT);
	case 'o':
		args->output = value;
		return parse_output(value, err);
	case OPTION_UNTIL_CLOSED:
		args->lease = value;
		return 0;
	default:
		return option_unhandled(id, err);
	}
}

static int cmd_warm_parse(struct options *opts, struct warm_args *args, struct err *err)
{
	const char *operand;
	int id, ret;

	while ((id = options_next(opts, err)) != 0) {
		ret = id < 0 ? id : cmd_warm_option(args, id, opts->value, err);
		if (ret < 0)
			return ret;
	}
	ret = options_one_operand(opts, "FILE or NAME", &operand, err);
	if (ret < 0)
		return ret;
	ret = target_find_file(&args->input, operand, err);
	if (ret < 0)
		return ret;
	if (args->output == NULL && args->input.kind == TARGET_IMAGE)
		return err_set(err, ERR_USAGE,
			       "%s is an image, which never changes: -o FILE says what to write",
			       operand);
	args->file = args->input.file;
	if (args->output == NULL)
		args->output = args->file;
	if (args->warmup.seconds == 0)
		args->warmup.seconds = args->warmup.until != NULL ? UNTIL_SECONDS : DEFAULT_SECONDS;
	return 0;
}

/* --- what was touched, as places of the file's images --- */

struct warm {
	struct archive *archive;
	struct hot_set hot[MEM_MAX_RANGES];
	uint64_t *places[MEM_MAX_RANGES]; /* owned */
	size_t nhot;
};

static void warm_free(struct warm *w)
{
	for (unsigned i = 0; i < MEM_MAX_RANGES; i++)
		free(w->places[i]);
	archive_close(w->archive);
}

/* Zero frames and those of a parent file have no place here. */
static int choose_range(struct warm *w, unsigned range, const struct touched *touched,
			struct err *err)
{
	struct hot_set *hot = &w->hot[w->nhot];
	char role[24];

	snprintf(role, sizeof(role), ROLE_MEMORY ".%u", range);
	hot->image = archive_image(w->archive, role);
	if (hot->image == NULL)
		return 0;
	w->places[range] = calloc(touched->n + 1, sizeof(uint64_t));
	if (w->places[range] == NULL)
		return err_sys(err, ENOMEM, "list what was touched");
	hot->places = w->places[range];
	for (size_t i = 0; i < touched->n; i++) {
		const struct pager_touch *t = &touched->frame[i];
		const struct extent *e;

		if (t->range != range)
			continue;
		e = image_map_find(&hot->image->map, t->frame);
		if (e->kind == EXTENT_DATA)
			w->places[range][hot->n++] = e->place + (t->frame - e->frame);
	}
	w->nhot++;
	return 0;
}

static int write_warm(const struct warm_args *args, struct err *err)
{
	static const struct meter_params shown = {.verb = "warm",
						  .cancelled = "the file is as it was"};
	__attribute__((cleanup(warm_free))) struct warm w = {0};
	struct convert_params params = {.encoding = CONVERT_KEEP};
	size_t frames = 0;
	int ret = archive_open(&w.archive, args->file, err);

	if (ret < 0)
		return ret;
	for (unsigned i = 0; i < MEM_MAX_RANGES; i++) {
		ret = choose_range(&w, i, &args->warmup.touched, err);
		if (ret < 0)
			return ret;
	}
	params.hot = w.hot;
	params.nhot = w.nhot;
	ret = meter_begin(&shown, err);
	if (ret < 0)
		return ret;
	meter_run();
	archive_watch(w.archive, meter_progress());
	ret = convert_archive(w.archive, args->output, &params, err);
	archive_watch(w.archive, NULL);
	meter_end(ret);
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < w.nhot; i++)
		frames += w.hot[i].n;
	if (!output_is_stream(args->output))
		print_line(stdout, "%s: %zu frames (%.1f MiB) are hot", args->output, frames,
			   (double)(frames * FRAME_SIZE) / (double)MIB(1));
	return 0;
}

/* --- the warmup --- */

static int check_warm_source(const struct source *source, const char *typed, struct err *err)
{
	int ret;

	if (!source->appliance.live)
		return err_set(err, ERR_USAGE, "%s is cold: only a live appliance wakes", typed);
	if (source->appliance.encryption.lock.kind != ENCRYPTION_NONE)
		return err_set(err, ERR_USAGE,
			       "%s is encrypted, and a hot set would lie there in clear", typed);
	ret = source_check(source, err);
	return ret < 0 ? ret : chain_ensure_verified(source->chain, err);
}

/* `fd` is taken; -1: the file is opened. */
static int warm_up(struct warm_args *args, int fd, struct err *err)
{
	const struct archive_open_params params = {.fd = fd};
	struct instance_options how = {
		.preferred_name = "warm",
		.fill = PAGER_FILL_NONE,
		.remove = true,
		.report_fd = -1,
		.notice = launch_notice,
		.lease_fd = args->lease_fd,
		.warmup = &args->warmup,
	};
	struct instance_end end;
	struct source source;
	int ret = source_from_file(&source, args->file, &params, err);

	if (ret < 0)
		return ret;
	ret = check_warm_source(&source, args->input.name, err);
	if (ret < 0) {
		source_close(&source);
		return ret;
	}
	ret = instance_run(&source, &how, &end, err);
	if (ret < 0)
		return ret;
	if (end.end == MACHINE_END_KILLED && !args->warmup.timed_out && !args->warmup.heard)
		return err_set(err, ERR_FAILED, "%s: interrupted; it is as it was", args->file);
	return 0;
}

/* The clone is resumed from a flat copy: the page tables show what was touched of a mapped file. */
static int warm_up_flat(struct warm_args *args, struct err *err)
{
	static const struct convert_params flat = {.encoding = CONVERT_FLAT, .drop_hot = true};
	cleanup_archive struct archive *archive = NULL;
	cleanup_fd int copy = -1;
	int ret = archive_open(&archive, args->file, err);

	if (ret < 0)
		return ret;
	copy = tempfile_unnamed_beside(output_is_stream(args->output) ? args->file : args->output,
				       err);
	if (copy < 0)
		return copy;
	ret = convert_archive_stream(archive, copy, &flat, err);
	return ret < 0 ? ret : warm_up(args, take_fd(&copy), err);
}

static int run_warm(struct warm_args *args, struct err *err)
{
	struct err why;
	int ret = lease_open(args->lease, &args->lease_fd, err);

	if (ret < 0)
		return ret;
	ret = sandbox_enter(SANDBOX_MACHINE, err);
	if (ret < 0)
		return ret;
	args->warmup.in_order = touched_in_order(&why);
	if (!args->warmup.in_order)
		fprintf(stderr, "torpor: the order of first touch is not noted: %s\n", why.text);
	ret = args->warmup.in_order ? warm_up(args, -1, err) : warm_up_flat(args, err);
	if (ret < 0)
		return ret;
	if (args->warmup.until != NULL && !args->warmup.heard)
		return err_set(err, ERR_FAILED, "%s: it did not say '%s' within %llu s", args->file,
			       args->warmup.until, (unsigned long long)args->warmup.seconds);
	return write_warm(args, err);
}

static int cmd_warm_run(struct options *opts, struct err *err)
{
	struct warm_args args = {0};
	int ret = cmd_warm_parse(opts, &args, err);

	if (ret == 0)
		ret = run_warm(&args, err);
	free(args.warmup.touched.frame);
	return ret;
}

const struct command cmd_warm = {
	.name = "warm",
	.args = "FILE|NAME",
	.summary = "wake a clone, see what it touches first, and put that in front of the file",
	.options = options,
	.run = cmd_warm_run,
};
