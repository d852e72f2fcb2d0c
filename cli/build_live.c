/* See build_live.h. */
#include "cli/build_live.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/tempfile.h"
#include "cli/cold_file.h"
#include "cli/live_file.h"
#include "cli/print_line.h"
#include "cli/stop_signals.h"
#include "host/parse.h"
#include "host/paths.h"

#define READY_SECONDS	  600u
#define READY_SECONDS_MAX 86400u
#define WARM_SECONDS	  5u
#define WARM_SECONDS_MAX  600u
#define LINES_SHOWN	  20u

int live_args_take(struct live_args *args, int id, const char *value, struct err *err)
{
	int ret = 0;

	switch (id) {
	case OPT_LIVE:
		args->live = true;
		return 1;
	case OPT_READY:
		if (args->nready == LIVE_READY_MAX)
			return err_set(err, ERR_USAGE, "--ready is given more than %u times",
				       LIVE_READY_MAX);
		ret = readiness_parse("--ready", value, &args->ready[args->nready++], err);
		break;
	case OPT_READY_TIMEOUT:
		args->has_timeout = true;
		ret = parse_number(value, "--ready-timeout", 1, READY_SECONDS_MAX, &args->timeout_s,
				   err);
		break;
	case OPT_WARM:
		args->has_warm = true;
		ret = parse_number(value, "--warm", 0, WARM_SECONDS_MAX, &args->warm_s, err);
		break;
	default:
		return 0;
	}
	args->given = true;
	return ret < 0 ? ret : 1;
}

static int needs_ready(const char *why, struct err *err)
{
	return err_set(err, ERR_USAGE,
		       "--live needs --ready, when the machine is to be saved: text:TEXT "
		       "on its console, port:N or exec:COMMAND%s",
		       why);
}

int live_args_check(const struct live_args *args, bool image, const char *output, struct err *err)
{
	if (!args->live && args->given)
		return err_set(err, ERR_USAGE,
			       "--ready, --ready-timeout and --warm are for --live");
	if (!args->live)
		return 0;
	if (args->nready == 0 && !image)
		return needs_ready("", err);
	return output_is_stream(output) ? 0 : tempfile_try(output, err);
}

/* For a shell. */
static void add_quoted(struct buf *line, const char *word)
{
	buf_add(line, "'", 1);
	for (; *word != '\0'; word++)
		buf_printf(line, *word == '\'' ? "'\\''" : "%c", *word);
	buf_add(line, "' ", 2);
}

int live_args_from_image(struct live_args *args, const struct image_config *image, struct err *err)
{
	const struct image_strings *health = &image->health;
	cleanup_buf struct buf line = {0};

	if (!args->live || args->nready > 0)
		return 0;
	if (health->count < 2)
		return needs_ready("; this image has no health check, which would say it", err);
	if (strcmp(health->item[0], "CMD-SHELL") == 0)
		buf_printf(&line, "%s", health->item[1]);
	else
		for (size_t i = 1; i < health->count; i++)
			add_quoted(&line, health->item[i]);
	buf_add_u8(&line, 0);
	if (buf_failed(&line))
		return err_sys(err, ENOMEM, "the image's health check");
	if (line.len > sizeof(args->health))
		return err_set(err, ERR_USAGE,
			       "the image's health check is longer than %zu bytes: say --ready",
			       sizeof(args->health));
	memcpy(args->health, line.data, line.len);
	args->ready[args->nready++] = (struct readiness){.kind = READY_EXEC, .text = args->health};
	return 0;
}

/* The same host ports as nobody else: free ones of 127.0.0.1. */
static unsigned list_ports(const struct live_args *args, char text[][8], char **port)
{
	unsigned n = 0;

	for (size_t i = 0; i < args->nready; i++) {
		bool again = false;

		if (args->ready[i].kind != READY_PORT)
			continue;
		snprintf(text[n], 8, "%u", args->ready[i].port);
		for (unsigned k = 0; k < n; k++)
			again = again || strcmp(text[k], text[n]) == 0;
		if (again)
			continue;
		port[n] = text[n];
		n++;
	}
	return n;
}

static int check_ports(const struct live_args *args, const struct appliance *a, struct err *err)
{
	for (size_t i = 0; i < args->nready; i++) {
		if (args->ready[i].kind == READY_PORT && a->nnets == 0)
			return err_set(err, ERR_USAGE,
				       "--ready port:%u: the machine has no network card",
				       args->ready[i].port);
	}
	return 0;
}

static void print_console(struct own_machine *m)
{
	cleanup_free char *text = own_machine_console(m);
	size_t at = text != NULL ? strlen(text) : 0, lines = 0;

	while (at > 0 && strchr(" \n", text[at - 1]) != NULL)
		text[--at] = '\0';
	if (at == 0)
		return;
	for (; at > 0 && lines < LINES_SHOWN; at--)
		lines += text[at - 1] == '\n';
	if (lines == LINES_SHOWN)
		at++;
	for (char *line = text + at, *end; line != NULL; line = end) {
		end = strchr(line, '\n');
		if (end != NULL)
			*end++ = '\0';
		print_line(stderr, "| %s", line);
	}
}

static int await_ready(const struct live_args *args, struct own_machine *m, struct err *err)
{
	const struct own_wait wait = {.verb = "build",
				      .option = "--ready",
				      .condition = args->ready,
				      .n = args->nready,
				      .timeout_s =
					      args->has_timeout ? args->timeout_s : READY_SECONDS};
	int ret = own_machine_await(m, &wait, err);

	if (ret < 0 && ret != -ECANCELED)
		print_console(m);
	return ret;
}

static int boot_and_save(const struct live_args *args, int cold, const char *output, int stop_fd,
			 struct err *err)
{
	const unsigned warm_s = args->has_warm ? (unsigned)args->warm_s : WARM_SECONDS;
	const struct live_file live = {
		.verb = "build", .output = output, .warm = warm_s, .stop_fd = stop_fd};
	char text[LIVE_READY_MAX][8], *port[LIVE_READY_MAX], file[32];
	const struct own_start start = {.verb = "run",
					.publish = port,
					.npublish = list_ports(args, text, port),
					.file = file,
					.file_fd = cold};
	cleanup_own_machine struct own_machine m;
	int ret = own_machine_open(&m, "build", stop_fd, err);

	if (ret < 0)
		return ret;
	snprintf(file, sizeof(file), "/dev/fd/%d", cold);
	ret = own_machine_start(&m, &start, err);
	if (ret < 0)
		return ret;
	ret = await_ready(args, &m, err);
	return ret < 0 ? ret : live_file_make(&live, &m, err);
}

/* What is booted has no name, so that it is gone whatever ends us. */
static int make_cold(struct source *source, const char *output, int *fd, struct err *err)
{
	struct cold_file cold = {.verb = "build"};
	int ret;

	*fd = output_is_stream(output) ? tempfile_unnamed(path_temporary(), err)
				       : tempfile_unnamed_beside(output, err);
	if (*fd < 0)
		return *fd;
	cold.fd = *fd;
	ret = cold_file_write(&cold, source, err);
	return ret;
}

int build_live(const struct live_args *args, struct source *source, const char *output,
	       struct err *err)
{
	static struct stop_signals stop; /* its thread outlives us */
	cleanup_fd int cold = -1;
	int ret = check_ports(args, &source->appliance, err);

	if (ret == 0)
		ret = make_cold(source, output, &cold, err);
	source_close(source);
	if (ret < 0)
		return ret;
	ret = stop_signals_watch(&stop, err);
	if (ret < 0)
		return ret;
	ret = boot_and_save(args, cold, output, stop.fd, err);
	stop_signals_die(&stop, "build", "nothing was written");
	return ret;
}
