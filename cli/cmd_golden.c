/* torpor golden: live appliances that tests begin with, from recipes. A verb of two verbs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/tempfile.h"
#include "cli/command.h"
#include "cli/golden_check.h"
#include "cli/golden_record.h"
#include "cli/print_line.h"
#include "cli/stop_signals.h"
#include "cli/test_golden.h"
#include "cli/test_review.h"
#include "format/archive.h"
#include "host/parse.h"
#include "host/paths.h"

#define DIFFERS_STATUS 1 /* exit status: what was printed, or what there is, differs */

enum {
	OPTION_FROM = OPTION_LONG_ONLY + 1,
	OPTION_UPDATE,
};

static const struct option_spec options[] = {
	{'o', "output", "FILE",
	 "file to write; default RECIPE's with the ending .torpor in place of .t"},
	{OPTION_FROM, "from", "FILE", "what it begins with, in place of the FILE in its head"},
	{OPTION_UPDATE, "update", NULL, "accept what the commands print: rewrite RECIPE"},
	OPTION_PROGRESS_SPEC,
	{0},
};

struct golden_args {
	const char *recipe, *from;
	const char *file; /* -o, or the operand of check; NULL: as the recipe */
	bool update;
};

/* ---- what both do ---- */

/* "web.t" is for "web.torpor". */
static int name_golden(const struct golden_args *args, struct path *file, struct err *err)
{
	size_t len = strlen(args->recipe);
	int needed;

	if (len > 2 && strcmp(args->recipe + len - 2, ".t") == 0)
		len -= 2;
	needed = args->file != NULL ? snprintf(file->text, sizeof(file->text), "%s", args->file)
				    : snprintf(file->text, sizeof(file->text), "%.*s.torpor",
					       (int)len, args->recipe);
	if (needed >= (int)sizeof(file->text))
		return err_sys(err, ENAMETOOLONG, "%s", args->recipe);
	return 0;
}

static void print_lines(const struct buf *text)
{
	const char *at = (const char *)text->data, *end = at + text->len;

	while (at < end && !buf_failed(text)) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((newline != NULL ? newline : end) - at);

		print_line(stdout, "%.*s", (int)len, at);
		at += len + 1;
	}
}

/* What its commands printed is something else. */
static int print_difference(const struct recording *r)
{
	cleanup_buf struct buf diff = {0};

	recording_diff(r, &diff);
	print_lines(&diff);
	return DIFFERS_STATUS;
}

/* ---- record ---- */

/* The recording would take the place of what the next one needs. */
static int check_inputs(const struct golden_args *args, const struct recipe *recipe,
			const struct path *output, struct err *err)
{
	const char *const files[] = {args->recipe, args->from, recipe->from};
	char digest[DIGEST_TEXT_SIZE];
	struct path golden;
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < ARRAY_SIZE(files); i++)
		ret = output_spares(output->text, files[i], err);
	for (unsigned i = 0; ret == 0 && i < recipe->nfiles; i++)
		ret = output_spares(output->text, recipe->file[i], err);
	/* What is wrong with it is said later. */
	if (ret == 0 && recipe->transcript.golden[0] != '\0' &&
	    test_golden_find(&golden, digest, args->recipe, &recipe->transcript, args->from,
			     NULL) == 0)
		ret = output_spares(output->text, golden.text, err);
	return ret;
}

/* Before minutes are spent on what cannot be written. */
static int try_output(const struct path *output, struct err *err)
{
	int ret;

	if (strcmp(output->text, "-") == 0)
		return err_set(err, ERR_USAGE, "-o: record writes a file, not standard output");
	ret = parse_output(output->text, err);
	return ret < 0 ? ret : tempfile_try(output->text, err);
}

static int print_recorded(const struct path *file, struct err *err)
{
	char digest[DIGEST_TEXT_SIZE];
	int ret = archive_identify(file->text, digest, err);

	if (ret < 0)
		return ret;
	print_line(stdout, "%s@%s", file->text, digest);
	return 0;
}

static int record(const struct golden_args *args, int stop_fd, struct err *err)
{
	cleanup_recording struct recording recording = {0};
	struct path output;
	struct golden_job job = {.recording = &recording,
				 .from = args->from,
				 .update = args->update,
				 .stop_fd = stop_fd,
				 .output = output.text};
	int ret = args->update ? test_update_possible(err) : 0;

	if (ret < 0)
		return ret;
	ret = recording_read(&recording, args->recipe, err);
	if (ret < 0)
		return ret;
	ret = name_golden(args, &output, err);
	if (ret < 0)
		return ret;
	ret = check_inputs(args, &recording.recipe, &output, err);
	if (ret < 0)
		return ret;
	ret = try_output(&output, err);
	if (ret < 0)
		return ret;
	ret = golden_make(&job, err);
	if (ret < 0)
		return ret;
	if (recording_differs(&recording) && !args->update)
		return print_difference(&recording);
	return print_recorded(&output, err);
}

/* ---- check ---- */

static int compare(const struct path *file, const struct survey *was, const struct survey *is)
{
	cleanup_buf struct buf words = {0};
	size_t n = survey_compare(was, is, &words);

	print_lines(&words);
	if (n == 0)
		print_line(stdout, "%s: a new recording has the same in it", file->text);
	else
		print_line(stdout, "%s: a new recording differs in %zu thing%s", file->text, n,
			   n == 1 ? "" : "s");
	return n == 0 ? 0 : DIFFERS_STATUS;
}

static int check(const struct golden_args *args, int stop_fd, struct err *err)
{
	cleanup_recording struct recording recording = {0};
	cleanup_survey struct survey was = {0}, is = {0};
	const struct guest_tree_excludes *excludes = &recording.recipe.excludes;
	char digest[DIGEST_TEXT_SIZE], temporary[32];
	cleanup_fd int fd = -1;
	struct path file;
	struct golden_job job = {.recording = &recording, .from = args->from, .stop_fd = stop_fd};
	int ret = recording_read(&recording, args->recipe, err);

	if (ret < 0)
		return ret;
	ret = name_golden(args, &file, err);
	if (ret < 0)
		return ret;
	ret = archive_identify(file.text, digest, err);
	if (ret < 0)
		return ret;
	fd = tempfile_unnamed_beside(file.text, err);
	if (fd < 0)
		return fd;
	job.file = fd;
	ret = golden_make(&job, err);
	if (ret < 0)
		return ret;
	if (recording_differs(&recording))
		return print_difference(&recording);
	ret = golden_look(&was, file.text, -1, excludes, stop_fd, err);
	if (ret < 0)
		return err_context(err, ret, "%s", file.text);
	snprintf(temporary, sizeof(temporary), "/dev/fd/%d", fd);
	ret = golden_look(&is, temporary, fd, excludes, stop_fd, err);
	if (ret < 0)
		return err_context(err, ret, "the new recording");
	return compare(&file, &was, &is);
}

/* ---- the command line ---- */

#define RECIPE_HEADS                                                                               \
	"A recipe is a transcript whose head says what is booted and how it is saved:\n"           \
	"\n"                                                                                       \
	"kernel: vmlinuz      or `from: FILE`, a cold appliance, or `golden: FILE`\n"              \
	"publish: 80 53/udp   ports; their numbers here are $TORPOR_PORT_80 …\n"                 \
	"await: READY         what its console says before the first command\n"                    \
	"boot: 600            seconds until then, at most\n"                                       \
	"save: level=9 trim   as options of torpor save; or flat\n"                                \
	"warm: 5              as torpor warm --for\n"                                              \
	"exclude: /run        files that check leaves out\n"                                       \
	"\n"                                                                                       \
	"The heads disk, initrd, append, memory, cpus, cpu, console, net, mac, mtu and "           \
	"queues are options of torpor run; timeout and redact are as in tests. The head "          \
	"ends at the first empty line.\n"

static const struct subcommand subcommands[] = {
	{"record",
	 "RECIPE",
	 "boot a machine, run the recipe's commands in it, save it",
	 {'o', OPTION_FROM, OPTION_UPDATE, OPTION_PROGRESS},
	 RECIPE_HEADS},
	{"check",
	 "RECIPE [FILE]",
	 "record once more, and tell what is different from FILE in words",
	 {OPTION_FROM, OPTION_PROGRESS},
	 RECIPE_HEADS},
	{0},
};

extern const struct command cmd_golden;

static int cmd_golden_option(struct golden_args *args, int id, const char *value, struct err *err)
{
	switch (id) {
	case 'o':
		args->file = value;
		return 0;
	case OPTION_FROM:
		args->from = value;
		return 0;
	case OPTION_UPDATE:
		args->update = true;
		return 0;
	default:
		return option_unhandled(id, err);
	}
}

static int cmd_golden_parse(struct options *opts, struct golden_args *args,
			    const struct subcommand **sub, struct err *err)
{
	bool given[ARRAY_SIZE(options)] = {false};
	const char *word;
	int id, ret;

	while ((id = options_next(opts, err)) > 0) {
		ret = cmd_golden_option(args, id, opts->value, err);
		if (ret < 0)
			return ret;
		subcommand_note_option(options, id, given);
	}
	if (id < 0)
		return id;
	word = options_operand(opts);
	*sub = word != NULL ? command_find_subcommand(&cmd_golden, word) : NULL;
	if (*sub == NULL)
		return err_set(err, ERR_USAGE, "say record or check (see torpor help golden)");
	ret = subcommand_check_options("golden", *sub, options, given, err);
	if (ret < 0)
		return ret;
	args->recipe = options_operand(opts);
	if (args->recipe == NULL)
		return options_missing(opts, "RECIPE", err);
	if (*sub == &subcommands[1] && args->file == NULL)
		args->file = options_operand(opts);
	return options_end(opts, err);
}

static int cmd_golden_run(struct options *opts, struct err *err)
{
	static struct stop_signals stop; /* its thread outlives us */
	struct golden_args args = {0};
	const struct subcommand *sub = NULL;
	int ret = cmd_golden_parse(opts, &args, &sub, err);

	if (ret < 0)
		return ret;
	ret = stop_signals_watch(&stop, err);
	if (ret < 0)
		return ret;
	ret = sub == &subcommands[0] ? record(&args, stop.fd, err) : check(&args, stop.fd, err);
	stop_signals_die(&stop, "golden", "no file was written");
	return ret;
}

const struct command cmd_golden = {
	.name = "golden",
	.args = "record|check RECIPE [FILE]",
	.summary = "make live appliances for tests from recipes, and compare what is in them",
	.detail = RECIPE_HEADS
	"\n"
	"The exit status is 0; 1 when a command printed something else, or when "
	"check finds a difference; or that of an error.",
	.subcommands = subcommands,
	.options = options,
	.run = cmd_golden_run,
};
