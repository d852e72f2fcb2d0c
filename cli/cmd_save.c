/* torpor save: a running machine becomes a live appliance. */
#include <errno.h>

#include "cli/client.h"
#include "cli/command.h"
#include "cli/json_out.h"
#include "cli/parse.h"
#include "cli/paths.h"
#include "cli/trim.h"

#define OPTION_TRIM (OPTION_LONG_ONLY + 1)

static const struct option_spec options[] = {
	{'o', "output", "FILE", "file to write; default NAME.torpor in the store"},
	{'R', "leave-running", NULL, "let the machine go on afterwards"},
	{OPTION_TRIM, "trim", NULL, "have the guest drop its caches first"},
	OPTION_JSON_SPEC,
	{0},
};

struct save_args {
	const char *name;
	const char *output;
	bool leave_running;
	bool trim;
	bool json;
};

static int parse(struct options *opts, struct save_args *args, struct err *err)
{
	int id;

	while ((id = options_next(opts, err)) > 0) {
		if (id == 'o')
			args->output = opts->value;
		else if (id == 'R')
			args->leave_running = true;
		else if (id == OPTION_TRIM)
			args->trim = true;
		else
			args->json = true;
	}
	return id < 0 ? id : options_one_operand(opts, "NAME", &args->name, err);
}

/* The machine's process has another working directory. */
static int choose_path(const struct save_args *args, struct path *path, struct err *err)
{
	int ret;

	if (args->output != NULL) {
		ret = parse_output(args->output, err);
		return ret < 0 ? ret : path_absolute(path, args->output, err);
	}
	ret = path_store(path, args->name, err);
	return ret < 0 ? ret : path_make_parents(path, err);
}

static void print(const struct save_args *args, json_t *reply)
{
	if (args->json) {
		json_object_del(reply, "ok");
		json_out(json_incref(reply));
		return;
	}
	printf("%s: %.1f MiB, paused for %.3f s\n",
	       json_string_value(json_object_get(reply, "path")),
	       (double)json_integer_value(json_object_get(reply, "bytes")) / 1048576.0,
	       json_real_value(json_object_get(reply, "seconds")));
}

static int save(struct client *client, const struct save_args *args, const struct path *path,
		struct err *err)
{
	json_t *request = json_pack("{s:s,s:s,s:b}", "do", "save", "path", path->text,
				    "leave-running", (int)args->leave_running);
	json_t *reply;
	int ret;

	if (request == NULL)
		return err_set(err, ERR_USAGE, "%s: the file's name is not UTF-8", path->text);
	ret = client_call(client, request, CLIENT_FOREVER, &reply, err);
	if (ret < 0)
		return ret;
	print(args, reply);
	json_decref(reply);
	/* Its name is free again when we return. */
	return args->leave_running ? 0 : client_wait(client, CLIENT_FOREVER, err);
}

static int run(struct options *opts, struct err *err)
{
	struct save_args args = {0};
	struct client client;
	struct path path;
	int ret = parse(opts, &args, err);

	if (ret == 0)
		ret = client_open(&client, args.name, err);
	if (ret < 0)
		return ret;
	ret = choose_path(&args, &path, err);
	if (ret == 0)
		ret = trim(&client, args.trim, err);
	if (ret == 0)
		ret = save(&client, &args, &path, err);
	client_close(&client);
	return ret;
}

const struct command cmd_save = {
	.name = "save",
	.args = "NAME",
	.summary = "write a running machine into one file, a live appliance, and end it",
	.options = options,
	.run = run,
};
